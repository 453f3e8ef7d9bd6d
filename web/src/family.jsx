// Figure 1: which model comes from which, and from what text.
import { Figure } from './exports.jsx';
import { color, percent, short } from './format.js';
import { modelHref } from './router.js';
import { useWidth } from './width.js';

const kBoxHeight = 108;
const kRowGap = 26;

/** Longest distance from a root: the column each model stands in. */
export function depths(models) {
  const byName = new Map(models.map((m) => [m.name, m]));
  const depth = new Map();
  const visit = (m) => {
    if (!depth.has(m.name)) {
      depth.set(m.name, 0);  // also ends a cycle, should a file hold one
      const parents = m.parents.map((p) => byName.get(p)).filter(Boolean);
      depth.set(m.name, parents.length ? 1 + Math.max(...parents.map(visit)) : 0);
    }
    return depth.get(m.name);
  };
  models.forEach(visit);
  return depth;
}

const fit = (text, width) => {
  const most = Math.floor(width / 6.9);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
};

export function Family({ models }) {
  const [ref, width] = useWidth();
  const depth = depths(models);
  const columns = [];
  models.forEach((m) => (columns[depth.get(m.name)] ??= []).push(m));
  const gap = Math.min(110, Math.max(48, width / 10));
  const boxWidth = Math.min(236, Math.max(150, (width - gap * (columns.length - 1)) / columns.length));
  const rows = Math.max(...columns.map((c) => c.length));
  const height = rows * kBoxHeight + (rows - 1) * kRowGap + 12;
  const full = columns.length * boxWidth + (columns.length - 1) * gap;
  const left = Math.max(0, (width - full) / 2);
  const place = new Map();
  columns.forEach((column, i) => column.forEach((m, j) => place.set(m.name, {
    x: left + i * (boxWidth + gap),
    y: 6 + (height - 12) / 2 + (j - (column.length - 1) / 2) * (kBoxHeight + kRowGap) - kBoxHeight / 2,
  })));
  return (
    <Figure class="diagram">
      <div ref={ref} />
      <svg width={Math.max(width, full)} height={height} role="group" aria-label="The family of models">
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
            <path d="M0,0.5 L7.5,4 L0,7.5 z" fill="#666" />
          </marker>
        </defs>
        {models.flatMap((m) => m.parents.filter((p) => place.has(p)).map((p) => {
          const from = place.get(p), to = place.get(m.name);
          const x0 = from.x + boxWidth, y0 = from.y + kBoxHeight / 2;
          const x1 = to.x - 3, y1 = to.y + kBoxHeight / 2, mid = (x0 + x1) / 2;
          return <path d={`M${x0},${y0} C${mid},${y0} ${mid},${y1} ${x1},${y1}`} class="arrow" marker-end="url(#arrow)" />;
        }))}
        {models.map((m, i) => {
          const { x, y } = place.get(m.name);
          const corpora = Object.entries(m.corpora ?? {}).map(([name, share]) => (
            Object.keys(m.corpora).length > 1 ? `${name} ${percent(share, 0)}` : name));
          const lines = [
            m.method ? `${m.kind}: ${m.method}` : m.kind,
            m.kind === 'merged' ? m.parents.join(' + ') : corpora.join(' + '),
            m.tokens_trained ? `${short(m.tokens_trained)} tokens` : '',
            m.parameters ? `${short(m.parameters)} parameters` : '',
          ].filter(Boolean);
          return (
            <a href={m.index === null ? '#/training' : modelHref(m.name)} class="box">
              <g transform={`translate(${x},${y})`}>
                <title>{`${m.name}\n${lines.join('\n')}`}</title>
                <rect width={boxWidth} height={kBoxHeight} rx="7" />
                <rect width="6" height={kBoxHeight} rx="3" fill={color(i)} class="stripe" />
                <text x="18" y="25" class="name">{fit(m.name, boxWidth - 48)}</text>
                {lines.map((text, k) => <text x="18" y={45 + 17 * k}>{fit(text, boxWidth - 24)}</text>)}
              </g>
            </a>
          );
        })}
      </svg>
    </Figure>
  );
}
