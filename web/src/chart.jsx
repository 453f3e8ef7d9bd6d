// Line charts, scatter plots and histograms, in SVG.
import { scaleLinear } from 'd3-scale';
import { line as linePath, symbol, symbolCircle, symbolCross, symbolDiamond, symbolSquare, symbolTriangle } from 'd3-shape';
import { useState } from 'preact/hooks';
import { Figure } from './exports.jsx';
import { useWidth } from './width.js';

const kMargin = { top: 12, right: 20, bottom: 42, left: 58 };

const kShapes = { circle: symbolCircle, square: symbolSquare, triangle: symbolTriangle, diamond: symbolDiamond,
  cross: symbolCross };

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (!Number.isFinite(v)) continue;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return low > high ? [0, 1] : low === high ? [low - 0.5, high + 0.5] : [low, high];
}

function Axes({ x, y, width, height, xLabel, yLabel, xFormat, yFormat }) {
  const bottom = height - kMargin.bottom;
  return (
    <g class="axes">
      {y.ticks(5).map((v) => (
        <g transform={`translate(0,${y(v)})`}>
          <line x1={kMargin.left} x2={width - kMargin.right} class="grid" />
          <text x={kMargin.left - 8} dy="0.32em" text-anchor="end">{yFormat(v)}</text>
        </g>
      ))}
      {x.ticks(Math.max(2, Math.floor(width / 110))).map((v) => (
        <g transform={`translate(${x(v)},${bottom})`}>
          <line y2="5" class="tick" />
          <text y="18" text-anchor="middle">{xFormat(v)}</text>
        </g>
      ))}
      <line x1={kMargin.left} x2={width - kMargin.right} y1={bottom} y2={bottom} class="tick" />
      <text class="label" x={(kMargin.left + width - kMargin.right) / 2} y={height - 6}
        text-anchor="middle">{xLabel}</text>
      <text class="label" transform={`translate(14,${(kMargin.top + bottom) / 2}) rotate(-90)`}
        text-anchor="middle">{yLabel}</text>
    </g>
  );
}

/**
 * series: {name, color, points: [[x, y]…], dash}; rules: horizontal {y, label, color}; marks:
 * vertical {x, label}; bands: {from, to, label} over x; dots: single points {x, y, label, color,
 * low, high}, with an interval over x if it is given, and without a label not in the legend.
 * Hovering reads every series at the nearest x.
 */
export function LineChart({
  series, rules = [], marks = [], bands = [], dots = [], xLabel, yLabel, xFormat = String, yFormat = String, height = 320,
  title,
}) {
  const [ref, width] = useWidth();
  const [hover, setHover] = useState(null);
  const drawn = series.filter((s) => s.points.length);
  const x = scaleLinear(extent(drawn.flatMap((s) => s.points.map((p) => p[0]))),
    [kMargin.left, width - kMargin.right]);
  const y = scaleLinear(
    extent([...drawn.flatMap((s) => s.points.map((p) => p[1])), ...rules.map((r) => r.y), ...dots.map((d) => d.y)]),
    [height - kMargin.bottom, kMargin.top]).nice(5);
  const path = linePath(([px]) => x(px), ([, py]) => y(py)).defined(([, py]) => Number.isFinite(py));
  const nearest = (points) => points.reduce((best, p) =>
    (Math.abs(p[0] - hover) < Math.abs(best[0] - hover) ? p : best));
  const follow = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const at = x.invert(event.clientX - box.left);
    setHover(Math.min(Math.max(at, x.domain()[0]), x.domain()[1]));
  };
  return (
    <Figure class="chart">
      <div ref={ref} />
      <ul class="legend">
        {drawn.map((s) => (
          <li>
            <svg width="26" height="10" aria-hidden="true">
              <line x1="0" x2="26" y1="5" y2="5" stroke={s.color} stroke-width="2.5" stroke-dasharray={s.dash} />
            </svg>
            {s.name}
            {hover !== null && <b> {yFormat(nearest(s.points)[1], true)}</b>}
          </li>
        ))}
        {rules.map((r) => (
          <li>
            <svg width="26" height="10" aria-hidden="true">
              <line x1="0" x2="26" y1="5" y2="5" stroke={r.color} stroke-width="1.5" stroke-dasharray="5 4" />
            </svg>
            {r.label} {yFormat(r.y, true)}
          </li>
        ))}
        {bands.map((b) => (
          <li><svg width="26" height="10" aria-hidden="true"><rect width="26" height="10" class="band" /></svg>{b.label}</li>
        ))}
        {dots.filter((d) => d.label).map((d) => (
          <li>
            <svg width="10" height="10" aria-hidden="true"><circle cx="5" cy="5" r="3.5" stroke={d.color} class="ring" /></svg>
            {d.label} {yFormat(d.y, true)}
          </li>
        ))}
        {hover !== null && <li class="muted">at {xFormat(drawn.length ? nearest(drawn[0].points)[0] : hover)}</li>}
      </ul>
      <svg width={width} height={height} role="img" aria-label={title}
        onMouseMove={follow} onMouseLeave={() => setHover(null)}>
        {bands.map((b) => (
          <rect x={x(b.from)} width={Math.max(1, x(b.to) - x(b.from))} y={kMargin.top}
            height={height - kMargin.bottom - kMargin.top} class="band" />
        ))}
        <Axes {...{ x, y, width, height, xLabel, yLabel, xFormat, yFormat }} />
        {rules.map((r) => (
          <line x1={kMargin.left} x2={width - kMargin.right} y1={y(r.y)} y2={y(r.y)}
            stroke={r.color} stroke-width="1.5" stroke-dasharray="5 4" />
        ))}
        {marks.map((m) => (
          <g transform={`translate(${x(m.x)},0)`}>
            <line y1={kMargin.top} y2={height - kMargin.bottom} class="mark-line" />
            <text y={kMargin.top + 10} x={x(m.x) > width * 0.7 ? -6 : 6} class="mark-label"
              text-anchor={x(m.x) > width * 0.7 ? 'end' : 'start'}>{m.label}</text>
          </g>
        ))}
        {drawn.map((s) => (
          <path d={path(s.points)} fill="none" stroke={s.color} stroke-width="2.2"
            stroke-linejoin="round" stroke-dasharray={s.dash} />
        ))}
        {dots.map((d) => (
          <>
            {Number.isFinite(d.low) && <line x1={x(d.low)} x2={x(d.high)} y1={y(d.y)} y2={y(d.y)} stroke={d.color} stroke-width="3" opacity="0.55" />}
            <circle cx={x(d.x)} cy={y(d.y)} r="4.5" stroke={d.color} class="ring" />
          </>
        ))}
        {hover !== null && (
          <>
            <line x1={x(hover)} x2={x(hover)} y1={kMargin.top} y2={height - kMargin.bottom} class="cross" />
            {drawn.map((s) => {
              const p = nearest(s.points);
              return Number.isFinite(p[1]) && <circle cx={x(p[0])} cy={y(p[1])} r="3.5" fill={s.color} />;
            })}
          </>
        )}
      </svg>
    </Figure>
  );
}

/**
 * groups: {name, color, shape, points: [{x, y, label, href}…]}, shape one of circle, square, triangle,
 * diamond, cross, so that groups can be told apart without colour; lines at x and y, each with a label.
 */
export function ScatterChart({ groups, xLine, yLine, xLabel, yLabel, format = String, height = 340, title }) {
  const [ref, width] = useWidth();
  const points = groups.flatMap((g) => g.points);
  const range = (of, line, pixels) => scaleLinear(extent([...points.map(of), line.at]), pixels).nice(5);
  const x = range((p) => p.x, xLine, [kMargin.left, width - kMargin.right]);
  const y = range((p) => p.y, yLine, [height - kMargin.bottom, kMargin.top]);
  const marker = (shape) => symbol(kShapes[shape], 64)();
  return (
    <Figure class="chart">
      <div ref={ref} />
      <ul class="legend">
        {groups.filter((g) => g.points.length).map((g) => (
          <li>
            <svg width="12" height="12" aria-hidden="true"><path transform="translate(6,6)" d={marker(g.shape)} fill={g.color} /></svg>
            {g.name}
          </li>
        ))}
      </ul>
      <svg width={width} height={height} role="img" aria-label={title}>
        <Axes {...{ x, y, width, height, xLabel, yLabel, xFormat: format, yFormat: format }} />
        <line x1={x(xLine.at)} x2={x(xLine.at)} y1={kMargin.top} y2={height - kMargin.bottom} class="mark-line" />
        <line x1={kMargin.left} x2={width - kMargin.right} y1={y(yLine.at)} y2={y(yLine.at)} class="mark-line" />
        {groups.map((g) => g.points.map((p) => (
          <a href={p.href} tabindex="-1" aria-label={p.label}>
            <path transform={`translate(${x(p.x)},${y(p.y)})`} d={marker(g.shape)} fill={g.color} class="point">
              <title>{p.label}</title>
            </path>
          </a>
        )))}
        <text x={x(xLine.at) - 6} y={kMargin.top + 10} text-anchor="end" class="mark-label">{xLine.label}</text>
        <text x={kMargin.left + 6} y={y(yLine.at) + (y(yLine.at) < kMargin.top + 20 ? 16 : -6)} class="mark-label">{yLine.label}</text>
      </svg>
    </Figure>
  );
}

/** points: [[x, y]…] from 0, many of which may lie on each other; the axes end at xMax and yMax. */
export function PointCloud({ points, xMax, yMax, color, xLabel, yLabel, format = String, height = 210, title }) {
  const [ref, width] = useWidth(260);
  const x = scaleLinear([0, xMax || 1], [kMargin.left, width - kMargin.right]);
  const y = scaleLinear([0, yMax || 1], [height - kMargin.bottom, kMargin.top]);
  return (
    <Figure class="chart" name={title}>
      <div ref={ref} />
      <svg width={width} height={height} role="img" aria-label={title}>
        <Axes {...{ x, y, width, height, xLabel, yLabel, xFormat: format, yFormat: format }} />
        {points.map(([a, b]) => <circle cx={x(a)} cy={y(b)} r="3" fill={color} fill-opacity="0.45" />)}
      </svg>
    </Figure>
  );
}

/**
 * Bars between edges[i] and edges[i + 1]. Hovering a bar names it. second: {name, counts, color}
 * stands as an outline over the bars, which are then called `name`.
 */
export function Histogram({
  edges, counts, color, xLabel, yLabel = 'features', xFormat = String, height = 180, title, name, second, yFormat,
}) {
  const [ref, width] = useWidth(480);
  const x = scaleLinear([edges[0], edges[edges.length - 1]], [kMargin.left, width - kMargin.right]);
  const y = scaleLinear([0, Math.max(1e-9, ...counts, ...(second?.counts ?? []))], [height - kMargin.bottom, kMargin.top]).nice(4);
  return (
    <Figure class="chart">
      <div ref={ref} />
      {second && (
        <ul class="legend">
          <li><svg width="14" height="10" aria-hidden="true"><rect width="14" height="10" fill={color} opacity="0.7" /></svg>{name}</li>
          <li>
            <svg width="26" height="10" aria-hidden="true"><line x2="26" y1="5" y2="5" stroke={second.color} stroke-width="2.5" /></svg>
            {second.name}
          </li>
        </ul>
      )}
      <svg width={width} height={height} role="img" aria-label={title}>
        <Axes {...{ x, y, width, height, xLabel, yLabel, xFormat }} yFormat={yFormat ?? y.tickFormat(4, '~s')} />
        {counts.map((n, i) => (
          <rect x={x(edges[i]) + 0.5} width={Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1)}
            y={y(n)} height={y(0) - y(n)} fill={color} opacity={second ? 0.55 : 0.85}>
            <title>{`${xFormat(edges[i])} – ${xFormat(edges[i + 1])}: ${yFormat ? yFormat(n, true) : n}`}</title>
          </rect>
        ))}
        {second && (
          <path fill="none" stroke={second.color} stroke-width="2.2"
            d={`M${x(edges[0])},${y(0)}${second.counts.map((n, i) => `V${y(n)}H${x(edges[i + 1])}`).join('')}V${y(0)}`} />
        )}
      </svg>
    </Figure>
  );
}
