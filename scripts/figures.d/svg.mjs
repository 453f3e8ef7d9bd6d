// SVG as text: a white page, panels with axes, and what is drawn in them.

/** Blue, vermillion, green, purple, ochre, sky, grey: told apart with any colour vision. The report's. */
export const kColors = ['#0072b2', '#d55e00', '#009e73', '#b0568f', '#b07d00', '#3d8fc4', '#5b5b5b'];
const kDashes = ['', '7 3', '2 3', '9 3 2 3'];
export const color = (i) => kColors[i % kColors.length];
/** Lines beyond the colours differ by their dashes. */
export const dash = (i) => kDashes[Math.floor(i / kColors.length) % kDashes.length];

export const kInk = '#1c1f23', kSoft = '#5f6670', kLine = '#dfe3e8';
const kFont = 'system-ui, -apple-system, Segoe UI, Roboto, Liberation Sans, Arial, sans-serif';

const kEscapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
// Control characters are not allowed in XML, escaped or not.
export const escape = (text) => String(text).replace(/[&<>"]/g, (c) => kEscapes[c])
  .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '\ufffd');

const number = (x) => String(Math.round(x * 10) / 10);

/** An element; attributes that are undefined are left out, numbers have one digit. */
export function element(name, attributes, content = '') {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined && value !== '')
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? number(value) : escape(value)}"`).join('');
  return content === '' ? `<${name}${given}/>` : `<${name}${given}>${content}</${name}>`;
}

export const text = (x, y, words, attributes = {}) => element('text', { x, y, fill: kInk, ...attributes }, escape(words));
export const line = (x1, y1, x2, y2, attributes = {}) => element('line', { x1, y1, x2, y2, stroke: kInk, ...attributes });
export const rect = (x, y, width, height, attributes = {}) => element('rect', { x, y, width: Math.max(0, width), height, ...attributes });

/** About how wide text is at 13 px; there is nothing to measure it with. */
export const textWidth = (words) => 7.1 * [...words].length;

/** A file: white in light and dark surroundings, with a title and a description for screen readers. */
export function page(width, height, title, description, parts) {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${Math.ceil(height)}" width="${width}" height="${Math.ceil(height)}" role="img" font-family="${kFont}" font-size="13">
<title>${escape(title)}</title>
<desc>${escape(description)}</desc>
${rect(0, 0, width, height, { fill: '#fff' })}
${text(20, 30, title, { 'font-size': 17, 'font-weight': 600 })}
${parts.join('\n')}
</svg>
`;
}

/** Round values between low and high, about `count` of them. */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count;
  if (!(raw > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((s) => s * power).find((s) => s >= raw * 0.999);
  const values = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) values.push(Number((i * step).toPrecision(12)));
  return values;
}

/**
 * A panel of width × height at (left, top), axes inside it: {x(v), y(v), parts}. x and y are
 * {low, high, label, format, ticks}.
 */
export function panel({ left, top, width, height, x, y, title }) {
  const box = { left: left + 70, right: left + width - 16, top: top + (title ? 26 : 8), bottom: top + height - 44 };
  const scale = ({ low, high }, from, to) => (v) => from + ((to - from) * (v - low)) / (high - low || 1);
  const px = scale(x, box.left, box.right), py = scale(y, box.bottom, box.top);
  const parts = [];
  if (title) parts.push(text(box.left, top + 14, title, { 'font-weight': 600 }));
  for (const v of y.ticks ?? ticks(y.low, y.high)) {
    parts.push(line(box.left, py(v), box.right, py(v), { stroke: kLine }));
    parts.push(text(box.left - 7, py(v) + 4, (y.format ?? String)(v), { 'text-anchor': 'end', fill: kSoft, 'font-size': 12 }));
  }
  for (const v of x.ticks ?? ticks(x.low, x.high, Math.max(2, Math.floor(width / 110)))) {
    parts.push(line(px(v), box.bottom, px(v), box.bottom + 4, { stroke: kSoft }));
    parts.push(text(px(v), box.bottom + 17, (x.format ?? String)(v), { 'text-anchor': 'middle', fill: kSoft, 'font-size': 12 }));
  }
  parts.push(line(box.left, box.bottom, box.right, box.bottom, { stroke: kSoft }));
  parts.push(text((box.left + box.right) / 2, box.bottom + 36, x.label, { 'text-anchor': 'middle', 'font-size': 12 }));
  const middle = (box.top + box.bottom) / 2;
  parts.push(text(left + 12, middle, y.label, { 'text-anchor': 'middle', 'font-size': 12, transform: `rotate(-90 ${number(left + 12)} ${number(middle)})` }));
  return { x: px, y: py, box, parts };
}

/** Points [[x, y]] of a panel as one line; `shape` draws others on a line of the same colour. */
export const curve = (p, points, attributes = {}) => element('polyline', {
  points: points.map(([x, y]) => `${number(p.x(x))},${number(p.y(y))}`).join(' '),
  fill: 'none', 'stroke-width': 2, 'stroke-linejoin': 'round', ...attributes });

/** {parts, height} of [{name, color, dash, area}] side by side, in as many rows as they need. */
export function legend(entries, left, top, width) {
  const parts = [];
  let x = left, y = top;
  for (const entry of entries) {
    const space = 34 + textWidth(entry.name) + 16;
    if (x > left && x + space > left + width) x = left, y += 20;
    parts.push(entry.area
      ? rect(x, y - 9, 22, 11, { fill: entry.color })
      : line(x, y - 4, x + 24, y - 4, { stroke: entry.color, 'stroke-width': entry.width ?? 2, 'stroke-dasharray': entry.dash }));
    parts.push(text(x + 30, y, entry.name));
    x += space;
  }
  return { parts, height: entries.length ? y - top + 20 : 0 };
}

/** `count` panels in columns below `top`: [{left, top, width, height}] and the height of all. */
export function grid(count, { left, top, width, height, columns }) {
  const used = Math.min(columns, Math.max(1, count));
  const cells = Array.from({ length: count }, (_, i) => ({
    left: left + (width / used) * (i % used), top: top + height * Math.floor(i / used), width: width / used, height }));
  return { cells, height: height * Math.ceil(count / used) };
}
