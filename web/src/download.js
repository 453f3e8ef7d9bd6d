// What a reader takes away: tables as CSV, figures as SVG.

const field = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** RFC 4180 but for its line ends. */
export const csv = (rows) => rows.map((row) => row.map((cell) => field(String(cell ?? ''))).join(',')).join('\n').concat('\n');

export function download(name, text, type = 'text/csv') {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** "Lua → LuaStories: shares" → "lua-luastories-shares". */
export const fileName = (text) => text.normalize('NFKD').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '').slice(0, 60)
  || 'featflow';

/** A number as machines read it; "–" is unknown. Other text is left as it is. */
function plain(text) {
  const tidy = text.replace(/\s+/g, ' ').trim();
  if (tidy === '–') return '';
  return /^[−-]?[\d,]+(\.\d+)?%?$/.test(tidy) ? tidy.replaceAll(',', '').replace('−', '-') : tidy;
}

/** Text of a cell: the lines in it, such as a count below a share, are kept apart. */
const cellText = (cell) => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll('br, div, wbr').forEach((e) => e.before(' '));
  copy.querySelectorAll('svg title').forEach((e) => e.remove());
  return plain(copy.textContent);
};

/** A table as it stands on the page; cells over several rows or columns are repeated. */
export function tableCsv(table) {
  const grid = [];
  [...table.rows].forEach((row, y) => {
    grid[y] ??= [];
    let x = 0;
    for (const cell of row.cells) {
      while (grid[y][x] !== undefined) ++x;
      const text = cellText(cell);
      const rows = Math.min(cell.rowSpan || 1, table.rows.length - y);
      for (let dy = 0; dy < rows; ++dy) {
        for (let dx = 0; dx < cell.colSpan; ++dx) (grid[y + dy] ??= [])[x + dx] = text;
      }
      x += cell.colSpan;
    }
  });
  return csv(grid);
}

const kStyles = ['fill', 'fill-opacity', 'stroke', 'stroke-width', 'stroke-opacity', 'stroke-dasharray',
  'opacity', 'font-family', 'font-size', 'font-weight', 'text-anchor', 'paint-order', 'stop-color', 'stop-opacity'];

/** A copy that looks the same without the page's style sheet. */
function styled(element) {
  const copy = element.cloneNode(true);
  const from = [element, ...element.querySelectorAll('*')], to = [copy, ...copy.querySelectorAll('*')];
  from.forEach((e, i) => {
    const style = getComputedStyle(e);
    for (const name of kStyles) {
      const value = style.getPropertyValue(name);
      if (value) to[i].setAttribute(name, value);
    }
    for (const name of ['class', 'href', 'tabindex', 'style']) to[i].removeAttribute(name);
  });
  return copy;
}

const kSvg = 'http://www.w3.org/2000/svg';
const make = (name, attributes, text) => {
  const element = document.createElementNS(kSvg, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

/** The figure's drawing with its legend above it, as a file that stands alone. */
export function figureSvg(figure) {
  const drawing = figure.querySelector('svg[role]');
  const { width, height } = drawing.getBoundingClientRect();
  const page = getComputedStyle(document.documentElement);
  const legend = make('g', { fill: page.color, 'font-family': 'sans-serif', 'font-size': 13 });
  let x = 10, y = 0;
  for (const item of figure.querySelectorAll('.legend li')) {
    const text = item.textContent.replace(/\s+/g, ' ').trim();
    const swatch = item.querySelector('svg');
    const long = (swatch ? 34 : 0) + 7.2 * text.length + 18;
    if (x > 10 && x + long > width) [x, y] = [10, y + 20];
    if (swatch) {
      const copy = styled(swatch);
      copy.setAttribute('x', x);
      copy.setAttribute('y', y + 5);
      legend.append(copy);
    }
    legend.append(make('text', { x: x + (swatch ? 32 : 0), y: y + 14 }, text));
    x += long;
  }
  const top = legend.childNodes.length ? y + 26 : 0;
  const file = make('svg', { xmlns: kSvg, width, height: height + top, viewBox: `0 0 ${width} ${height + top}` });
  file.append(make('title', {}, drawing.getAttribute('aria-label') ?? ''));
  file.append(make('rect', { width: '100%', height: '100%', fill: page.backgroundColor }), legend);
  const body = styled(drawing);
  body.setAttribute('y', top);
  file.append(body);
  return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(file)}\n`;
}
