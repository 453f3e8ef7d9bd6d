// Numbers and token strings for people.
const integer = new Intl.NumberFormat('en-US');

export const count = (n) => (n === null || n === undefined ? '–' : integer.format(n));

export function short(n) {
  if (n === null || n === undefined) return '–';
  if (n >= 1e9) return `${trim(n / 1e9)}B`;
  if (n >= 1e6) return `${trim(n / 1e6)}M`;
  if (n >= 1e4) return `${trim(n / 1e3)}k`;
  return integer.format(n);
}
const trim = (x) => (x >= 100 ? x.toFixed(0) : x.toFixed(1).replace(/\.0$/, ''));

const given = (x) => x !== null && x !== undefined && Number.isFinite(x);
const minus = (text) => (/^-[0.]*%?$/.test(text) ? text.slice(1) : text.replace('-', '−'));

export const fixed = (x, digits = 2) => (given(x) ? minus(x.toFixed(digits)) : '–');

export const percent = (x, digits = 1) => (given(x) ? minus(`${(100 * x).toFixed(digits)}%`) : '–');

/** Share and interval of a cross-fitted count {measurable, matched, low, high}: "19.6% (17.0–22.4)". */
export function shareInterval(fit) {
  if (!fit) return '–';
  const share = (n) => (100 * n / Math.max(1, fit.measurable)).toFixed(1);
  return `${share(fit.matched)}% (${share(fit.low)}–${share(fit.high)})`;
}

export function density(x) {
  if (!x) return '0';
  return x >= 0.001 ? percent(x, x >= 0.1 ? 0 : 2) : x.toExponential(1).replace('e-', '×10⁻').replace(
    /⁻(\d+)$/, (_, digits) => `⁻${[...digits].map((d) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[d]).join('')}`);
}

export const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

/** Blue, vermillion, green, purple, orange, sky: told apart with any colour vision. */
const kColors = ['#0072b2', '#d55e00', '#009e73', '#b0568f', '#b07d00', '#3d8fc4', '#5b5b5b'];
export const color = (index) => kColors[index % kColors.length];

/**
 * A token cut into pieces of {text, mark}: marks are the visible stand-ins for white space. A
 * single leading space is left as it is unless `all` is set: it is what most tokens start with.
 */
export function tokenPieces(token, all = false) {
  const pieces = [];
  const blank = /^[ \t\r\n]*$/.test(token);
  const add = (text, mark) => {
    const last = pieces[pieces.length - 1];
    if (last && last.mark === mark && mark !== '↵') last.text += text;
    else pieces.push({ text, mark });
  };
  [...token].forEach((c, i) => {
    if (c === '\n') pieces.push({ text: '↵', mark: '↵' });
    else if (c === '\t') add('⇥', 'space');
    else if (c === '\r') add('\\r', 'space');
    else if (c === ' ' && (all || blank || i > 0)) add('·', 'space');
    else if (c < ' ' || c === '\u007f') add(`\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`, 'space');
    else add(c, '');
  });
  return pieces;
}
