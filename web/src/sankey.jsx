// Figure 2: how many features persist along each edge. Under "exists a match" (definitions 11) the
// two ends of a ribbon have different counts, so a ribbon may widen or narrow on its way.
import { sankey, sankeyJustify } from 'd3-sankey';
import { Figure } from './exports.jsx';
import { color, count, percent } from './format.js';
import { modelHref } from './router.js';
import { useWidth } from './width.js';

const kNodeWidth = 16;
const kStub = 54;  // length of the grey fading ends

/** What a ribbon and its ceiling take at one end. */
const taken = (e, side) => Math.max(e[`persisting_${side}`], e[`ceiling_${side}`] ?? 0);

/** Stacks the ribbons of every node, each with its own count at this end. */
function layout(models, edges, width, height, toScale) {
  const index = new Map(models.map((m, i) => [m.name, i]));
  const drawn = edges.filter((e) => index.has(e.parent) && index.has(e.child));
  const nodes = models.map((m, i) => {
    const leaving = drawn.filter((e) => e.parent === m.name);
    const arriving = drawn.filter((e) => e.child === m.name);
    const ribbons = Math.max(leaving.reduce((s, e) => s + taken(e, 'parent'), 0),
      arriving.reduce((s, e) => s + taken(e, 'child'), 0), 1);
    const measurable = leaving[0]?.measurable_parent ?? arriving[0]?.measurable_child ?? 0;
    return { name: m.name, color: color(i), leaving, arriving, measurable,
      fixedValue: toScale ? Math.max(measurable, ribbons) : ribbons };
  }).filter((n) => n.leaving.length || n.arriving.length);
  const at = new Map(nodes.map((n, i) => [n.name, i]));
  const links = drawn.map((e) => ({ source: at.get(e.parent), target: at.get(e.child), edge: e,
    value: Math.max(taken(e, 'parent'), taken(e, 'child'), 0.01) }));
  if (!links.length) return { nodes: [], links: [] };
  const graph = sankey().nodeWidth(kNodeWidth).nodePadding(74).nodeAlign(sankeyJustify)
    .extent([[kStub + 8, 44], [width - kStub - 8, height - 34]])({ nodes, links });
  for (const node of graph.nodes) {
    const unit = (node.y1 - node.y0) / node.value;
    let y = node.y0;
    for (const link of node.sourceLinks) {
      const e = link.edge;
      link.from = [y, y + e.persisting_parent * unit];
      link.fromCeiling = e.ceiling_parent === null ? null : [y, y + e.ceiling_parent * unit];
      link.fromChance = e.chance_parent === null ? null : [y, y + e.chance_parent * unit];
      y += taken(e, 'parent') * unit;
    }
    node.leftBelow = y;
    y = node.y0;
    for (const link of node.targetLinks) {
      const e = link.edge;
      link.to = [y, y + e.persisting_child * unit];
      link.toCeiling = e.ceiling_child === null ? null : [y, y + e.ceiling_child * unit];
      link.toChance = e.chance_child === null ? null : [y, y + e.chance_child * unit];
      y += taken(e, 'child') * unit;
    }
    node.enteredBelow = y;
  }
  return graph;
}

function ribbon({ source, target }, from, to) {
  const x0 = source.x1, x1 = target.x0, mid = (x0 + x1) / 2;
  const thin = 0.75;  // so that a ribbon of no features is still seen to be one
  const [a0, a1] = [from[0], Math.max(from[1], from[0] + thin)];
  const [b0, b1] = [to[0], Math.max(to[1], to[0] + thin)];
  return `M${x0},${a0} C${mid},${a0} ${mid},${b0} ${x1},${b0} L${x1},${b1} C${mid},${b1} ${mid},${a1} ${x0},${a1} Z`;
}

function Stub({ x, y0, y1, direction }) {
  if (y1 - y0 < 1) return null;
  return <rect x={direction > 0 ? x : x - kStub} width={kStub} y={y0} height={y1 - y0}
    fill={`url(#${direction > 0 ? 'leaving' : 'arriving'})`} />;
}

function NodeText({ node, width }) {
  const last = node.x1 > width - kStub - 40, first = node.x0 < kStub + 40;
  const anchor = first ? 'start' : last ? 'end' : 'middle';
  const x = first ? node.x0 : last ? node.x1 : (node.x0 + node.x1) / 2;
  const most = (values) => values.length && Math.max(...values);
  const emerged = node.arriving.map((e) => e.emerging);
  const gone = node.leaving.map((e) => e.disappearing);
  const range = (values) => (most(values) === Math.min(...values) ? count(values[0])
    : `${count(Math.min(...values))}–${count(most(values))}`);
  return (
    <g text-anchor={anchor}>
      <text x={x} y={node.y0 - 23} class="name">{node.name}</text>
      <text x={x} y={node.y0 - 8} class="sub">{count(node.measurable)} measurable</text>
      <text x={x} y={node.y1 + 15} class="sub">
        {[emerged.length && `${range(emerged)} emerge`, gone.length && `${range(gone)} disappear`]
          .filter(Boolean).join(' · ')}
      </text>
    </g>
  );
}

/** Counts at both ends, kept clear of each other when ribbons are thin. */
function spread(labels) {
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((label, i) => {
    if (i && label.y < labels[i - 1].y + 14) label.y = labels[i - 1].y + 14;
  });
  return labels;
}

/** A bracket at one end of a ribbon, as long as `span`. */
const bracket = (x, [y0, y1], direction) => `M${x},${y0}h${9 * direction}V${y1}h${-9 * direction}`;

/** edges: as edgeAt gives them; query: of the addresses of lists. */
export function Flow({ models, edges, toScale, title, query }) {
  const [ref, width] = useWidth();
  const tallest = Math.max(1, ...Object.values(edges.reduce((sizes, e) => (
    { ...sizes, [e.parent]: (sizes[e.parent] ?? 0) + 1 }), {})));
  const height = 250 + 100 * Math.min(3, tallest);
  const inner = Math.max(width, 560);
  const { nodes, links } = layout(models, edges, inner, height, toScale);
  if (!links.length) return <p class="muted">No edges were compared.</p>;
  return (
    <Figure class="diagram" name={title}>
      <div ref={ref} />
      <ul class="legend">
        <li>Width of a ribbon: features with a match, of each end</li>
        {links.some((l) => l.fromCeiling || l.toCeiling) && (
          <li><svg width="26" height="12" aria-hidden="true"><rect x="1" y="1" width="24" height="10" class="ceiling" /></svg>ceiling</li>
        )}
        {links.some((l) => l.fromChance || l.toChance) && (
          <li><svg width="12" height="12" aria-hidden="true"><path d="M2,1h8V11h-8" class="chance" /></svg>chance level</li>
        )}
      </ul>
      <svg width={inner} height={height} class="sankey" role="group"
        aria-label={`${title}; the table below has the same numbers`}>
        <defs>
          <linearGradient id="leaving">
            <stop offset="0" stop-color="#888" stop-opacity="0.4" /><stop offset="1" stop-color="#888" stop-opacity="0" />
          </linearGradient>
          <linearGradient id="arriving">
            <stop offset="0" stop-color="#888" stop-opacity="0" /><stop offset="1" stop-color="#888" stop-opacity="0.4" />
          </linearGradient>
        </defs>
        {links.map((link) => {
          const e = link.edge;
          const side = (name, which) => `${count(e[`persisting_${which}`])} features of ${name} (${percent(e[`persisting_${which}`] / e[`measurable_${which}`])}${e[`ceiling_${which}`] === null ? '' : `, ceiling ${percent(e[`ceiling_${which}`] / e[`measurable_${which}`])}`})`;
          const text = `${e.parent} → ${e.child}: ${side(e.parent, 'parent')} match ${side(e.child, 'child')}`;
          return (
            <>
              <a href={modelHref(e.child, { class: `persisting:${e.parent}`, ...query })} aria-label={text}>
                <path d={ribbon(link, link.from, link.to)} fill={link.source.color} class="ribbon"><title>{text}</title></path>
              </a>
              {link.fromCeiling && link.toCeiling && <path d={ribbon(link, link.fromCeiling, link.toCeiling)} class="ceiling" />}
              {link.fromChance && <path d={bracket(link.source.x1, link.fromChance, 1)} class="chance" />}
              {link.toChance && <path d={bracket(link.target.x0, link.toChance, -1)} class="chance" />}
            </>
          );
        })}
        {nodes.map((node) => (
          <g>
            {toScale && node.leaving.length > 0 && <Stub x={node.x1} y0={node.leftBelow} y1={node.y1} direction={1} />}
            {toScale && node.arriving.length > 0 && <Stub x={node.x0} y0={node.enteredBelow} y1={node.y1} direction={-1} />}
            <rect x={node.x0} y={node.y0} width={kNodeWidth} height={Math.max(1, node.y1 - node.y0)}
              fill={node.color} rx="2" />
            <NodeText node={node} width={inner} />
            {spread(node.sourceLinks.map((link) => ({ y: (link.from[0] + link.from[1]) / 2, text: count(link.edge.persisting_parent) })))
              .map((label) => <text x={node.x1 + 7} y={label.y} dy="0.32em" class="end">{label.text}</text>)}
            {spread(node.targetLinks.map((link) => ({ y: (link.to[0] + link.to[1]) / 2, text: count(link.edge.persisting_child) })))
              .map((label) => <text x={node.x0 - 7} y={label.y} dy="0.32em" class="end" text-anchor="end">{label.text}</text>)}
          </g>
        ))}
      </svg>
    </Figure>
  );
}
