// check_svg.mjs FILE...: every file is well-formed XML of the kind that scripts/figures writes (elements,
// quoted attributes, text with the four entities), without NaN or undefined, and under 100 kB.
import { readFileSync } from 'node:fs';

const kTag = /<(\/?)([a-z][\w-]*)((?:\s+[\w:-]+="[^"<]*")*)\s*(\/?)>/gy;

/** What is wrong with the file, or nothing. */
function fault(svg) {
  if (svg.length > 100_000) return `${svg.length} bytes`;
  if (/NaN|undefined|Infinity|\[object/.test(svg)) return svg.match(/.{0,40}(NaN|undefined|Infinity|\[object).{0,20}/)[0];
  if (/&(?!(amp|lt|gt|quot);)/.test(svg)) return 'an ampersand that is not escaped';
  const open = [];
  let at = 0, roots = 0;
  while (at < svg.trimEnd().length) {
    const next = svg.indexOf('<', at);
    const text = svg.slice(at, next < 0 ? svg.length : next);
    if (text.trim() && !open.length) return `text outside the root: ${text.trim().slice(0, 40)}`;
    if (next < 0) break;
    kTag.lastIndex = next;
    const tag = kTag.exec(svg);
    if (!tag) return `no tag: ${svg.slice(next, next + 60)}`;
    const [whole, closing, name, attributes, empty] = tag;
    const names = [...attributes.matchAll(/\s([\w:-]+)=/g)].map((m) => m[1]);
    if (new Set(names).size < names.length) return `an attribute twice: ${whole.slice(0, 80)}`;
    if (closing) {
      const expected = open.pop();
      if (expected !== name) return `</${name}> closes <${expected}>`;
    } else {
      if (!open.length && (name !== 'svg' || roots++)) return `the root is <${name}>, or not alone`;
      if (!empty) open.push(name);
    }
    at = next + whole.length;
  }
  if (open.length) return `<${open.at(-1)}> is not closed`;
  if (!/<text /.test(svg) || !/<(rect|polyline) /.test(svg.replace(/<rect [^>]*fill="#fff"\/>/, ''))) return 'nothing is drawn';
  return null;
}

// The check itself: it finds what it looks for.
const good = '<svg a="1"><text x="1">a &amp; b</text><rect x="1"/></svg>\n';
const bad = [good.replace('</text>', ''), good.replace('&amp;', '&'), good.replace('"1"', '1'), `${good}<p/>`,
  good.replace('a="1"', 'a="1" a="2"'), good.replace('"1"', '"NaN"'), '<svg></svg>'];
if (fault(good) || !bad.every(fault)) throw new Error('check_svg.mjs does not find faults');

const files = process.argv.slice(2);
const faults = files.map((file) => [file, fault(readFileSync(file, 'utf8'))]).filter(([, what]) => what);
for (const [file, what] of faults) console.error(`${file}: ${what}`);
process.exit(faults.length || !files.length ? 1 : 0);
