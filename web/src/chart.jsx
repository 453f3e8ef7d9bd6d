// Line charts and histograms, in SVG.
import { scaleLinear } from 'd3-scale';
import { line as linePath } from 'd3-shape';
import { useState } from 'preact/hooks';
import { useWidth } from './width.js';

const kMargin = { top: 12, right: 20, bottom: 42, left: 58 };

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
 * vertical {x, label}. Hovering reads every series at the nearest x.
 */
export function LineChart({
  series, rules = [], marks = [], xLabel, yLabel, xFormat = String, yFormat = String, height = 320,
  title,
}) {
  const [ref, width] = useWidth();
  const [hover, setHover] = useState(null);
  const drawn = series.filter((s) => s.points.length);
  const x = scaleLinear(extent(drawn.flatMap((s) => s.points.map((p) => p[0]))),
    [kMargin.left, width - kMargin.right]);
  const y = scaleLinear(
    extent([...drawn.flatMap((s) => s.points.map((p) => p[1])), ...rules.map((r) => r.y)]),
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
    <figure class="chart" ref={ref}>
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
        {hover !== null && <li class="muted">at {xFormat(drawn.length ? nearest(drawn[0].points)[0] : hover)}</li>}
      </ul>
      <svg width={width} height={height} role="img" aria-label={title}
        onMouseMove={follow} onMouseLeave={() => setHover(null)}>
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
    </figure>
  );
}

/** Bars between edges[i] and edges[i + 1]. Hovering a bar names it. */
export function Histogram({
  edges, counts, color, xLabel, yLabel = 'features', xFormat = String, height = 180, title,
}) {
  const [ref, width] = useWidth(480);
  const x = scaleLinear([edges[0], edges[edges.length - 1]], [kMargin.left, width - kMargin.right]);
  const y = scaleLinear([0, Math.max(1, ...counts)], [height - kMargin.bottom, kMargin.top]).nice(4);
  return (
    <figure class="chart" ref={ref}>
      <svg width={width} height={height} role="img" aria-label={title}>
        <Axes {...{ x, y, width, height, xLabel, yLabel, xFormat }} yFormat={y.tickFormat(4, '~s')} />
        {counts.map((n, i) => (
          <rect x={x(edges[i]) + 0.5} width={Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1)}
            y={y(n)} height={y(0) - y(n)} fill={color} opacity="0.85">
            <title>{`${xFormat(edges[i])} – ${xFormat(edges[i + 1])}: ${n}`}</title>
          </rect>
        ))}
      </svg>
    </figure>
  );
}
