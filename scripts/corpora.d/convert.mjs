// convert.mjs RECIPE FOLDER OUT.jsonl SEEN: the documents of one unpacked package, as JSONL.
// SEEN lists the hashes of all documents so far, so that duplicates across packages go too.
// Prints: documents bytes dropped. Nothing from FOLDER is run, only read. Exits with 3 where the disk is full,
// which is not the package's fault, and with 1 where it cannot go on otherwise.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

import { noRoom } from './hub.mjs';

const kSmallest = 200; // bytes: less is a stub
const kLargestSource = 400_000; // bytes: no one writes such a source file by hand
const kPiece = 8_000; // characters: what a chapter that is too long is cut to
const kLargestChapter = 12_000;

const [recipe, folder, outPath, seenPath] = process.argv.slice(2);

function* filesBelow(directory) {
  const entries = fs.readdirSync(directory, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  for (const entry of entries) {
    const full = path.join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(full);
    else if (entry.isFile()) yield full; // links would give a file twice
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true }); // takes the byte-order mark off
let dropped = 0;

// The text of a file; null, and counted as dropped, where its encoding is none that we know.
function read(file) {
  const bytes = fs.readFileSync(file);
  let text;
  try {
    text = utf8.decode(bytes);
  } catch {
    text = bytes.toString('latin1');
    const encoding = /coding[:=]\s*([-\w.]+)/.exec(text.slice(0, 200))?.[1] ?? 'latin-1';
    // Control characters 80-9F mean that it was not Latin-1 either.
    if (!/^(latin|iso-?8859-?1)/i.test(encoding) || /[\x80-\x9f]/.test(text)) {
      dropped++;
      return null;
    }
  }
  return text.replace(/\r\n?/g, '\n');
}

// ---- source code

function looksGenerated(text) {
  if (text.length > kLargestSource || text.length / text.split('\n').length > 200) return true;
  // Tables of numbers and escapes have few letters and blanks; written code has 0.7 and more.
  return text.replace(/[^\p{L}\s]+/gu, '').length < 0.6 * text.length;
}

function* sources(extensions) {
  for (const file of filesBelow(folder)) {
    if (!extensions.includes(path.extname(file))) continue;
    const text = read(file);
    if (text === null) continue;
    if (looksGenerated(text)) dropped++;
    else yield text;
  }
}

// ---- English

const kGreek = Object.fromEntries([...'abcefglmprt'].map((letter, i) => [letter, [...'αβχεφγλμπρτ'][i]]));

function brownWord(token) {
  const word = token.slice(0, token.lastIndexOf('/')).replace(/(\d)''$/, '$1"'); // inches
  return word.replace(/\*\*([yz])([a-z])/g, (_, size, letter) => {
    const greek = kGreek[letter] ?? letter;
    return size === 'z' ? greek.toUpperCase() : greek;
  }).replace('**', '');
}

// Brown doubles ; ? and !, sets every mark off by blanks, and writes quotes as `` and ''.
function detokenise(tokens) {
  let text = '';
  let glue = true; // no blank before the next word
  let inside = false; // single quotes: ' both opens and closes
  let previous = '';
  for (const token of tokens) {
    let word = brownWord(token);
    if (word === previous && /^[;?!:]$/.test(word)) continue;
    if (word === '.' && previous.endsWith('.')) continue; // after an abbreviation
    if (word === "''" && /\d"$/.test(previous)) continue; // inches again
    previous = word;
    let opens = /^[([]$/.test(word);
    let closes = /^([,.;:?!)\]%]|\.\.+)$/.test(word);
    if (word === '``') [word, opens] = ['"', true];
    else if (word === "''") [word, closes] = ['"', true];
    else if (word === "'") {
      inside ? (closes = true) : (opens = true);
      inside = !inside;
    } else if (word === '/') opens = closes = true;
    text += glue || closes ? word : ` ${word}`;
    glue = opens;
  }
  return text;
}

function* brown() {
  for (const file of filesBelow(folder)) {
    if (!/^c[a-r]\d\d$/.test(path.basename(file))) continue;
    const text = read(file);
    if (text === null) continue;
    const apart = text.replace(/^(?:\s*\S+-hl\b\S*)+\s*$/gm, '\n$&\n'); // headlines stand alone
    const paragraphs = apart.split(/\n\s*\n/).map((p) => p.split(/\s+/).filter((t) => t.includes('/')));
    yield paragraphs.filter((p) => p.length).map(detokenise).join('\n\n');
  }
}

const kEntities = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', ndash: '–', mdash: '—', hellip: '…',
  lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”', eacute: 'é', egrave: 'è', uuml: 'ü', ouml: 'ö', auml: 'ä',
  ccedil: 'ç', ntilde: 'ñ', pound: '£', copy: '©' };

function decodeEntities(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w+));/gi, (all, decimal, hex, name) => {
    const code = decimal ? Number(decimal) : parseInt(hex, 16);
    if (name) return kEntities[name] ?? all;
    return code > 31 && code < 0x110000 && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : '';
  });
}

function htmlToText(html) {
  const text = html
    .replace(/<!--[^]*?-->|<(script|style|head)\b[^]*?<\/\1\s*>/gi, ' ')
    .replace(/\s+/g, ' ')
    .replace(/<br\b[^>]*>/gi, '\n')
    .replace(/<\/?(p|div|h\d|ul|ol|table|blockquote|hr|body|html)\b[^>]*>/gi, '\n\n')
    .replace(/<\/?(li|tr|td|th|dd|dt)\b[^>]*>/gi, '\n')
    .replace(/<[^>]*>/g, '');
  return decodeEntities(text)
    .replace(/[ \t\u00a0]+/g, ' ')
    .replace(/ ?\n ?/g, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim();
}

const kNoProse = /^(alinks|arlinks|links|book|index|contact|new|pdf|translations|biblio|supplementary|quotes)\.html$/;

function* html() {
  for (const file of filesBelow(folder)) {
    if (!file.endsWith('.html') || kNoProse.test(path.basename(file))) continue;
    const page = read(file);
    if (page === null) continue;
    for (const section of page.replace(/<div id="book-navigation[^]*$/, '').split(/(?=<h2\b)/i)) yield htmlToText(section);
  }
}

function tidyValue(value) {
  return htmlToText(value)
    .replace(/\s+/g, ' ')
    .replace(/([.:;,]?)\s*\+\+\s*/g, (_, mark) => `${mark || ';'} `) // was the start of a line
    .replace(/\*{1,3}/g, '') // marks of footnotes, and bold
    .replace(/^[;\s]+/, '')
    .replace(/ +([,;])/g, '$1')
    .trim();
}

// One country: a heading per section, a line per field, its parts after one another.
function country(profile) {
  const flatten = (node) =>
    typeof node === 'string'
      ? tidyValue(node)
      : Object.entries(node ?? {})
          .map(([key, value]) => (key === 'text' ? flatten(value) : `${key}: ${flatten(value)}`))
          .filter((part) => part && !part.endsWith(': '))
          .join('; ');
  const lines = [];
  for (const [section, fields] of Object.entries(profile)) {
    lines.push(lines.length ? `\n${section}\n` : `${section}\n`);
    for (const [field, value] of Object.entries(fields ?? {})) {
      const text = flatten(value);
      if (text && !text.includes('\ufffd')) lines.push(`${field}: ${text}`);
    }
  }
  return lines.join('\n');
}

function* factbook() {
  for (const file of filesBelow(folder)) {
    if (!file.endsWith('.json') || /package\.json$|\/meta\//.test(file)) continue;
    const text = read(file);
    if (text === null) continue;
    let profile;
    try {
      profile = JSON.parse(text);
    } catch {
      dropped++;
      continue;
    }
    if (profile?.Introduction || profile?.Geography) yield country(profile);
  }
}

// ---- stories

// Hard-wrapped lines become one; verse (lines indented or all short) keeps its lines.
function unwrap(paragraph) {
  const lines = paragraph.split('\n').filter((line) => line.trim());
  const verse = lines.length > 1 && lines.slice(0, -1).every((line) => /^\s{2}/.test(line) || line.length < 52);
  return lines.map((line) => line.trim()).join(verse ? '\n' : ' ').replace(/ {2,}/g, ' ').replace(/_([^_\n]+)_/g, '$1');
}

function* pieces(paragraphs) {
  const length = paragraphs.reduce((sum, p) => sum + p.length + 2, 0);
  const count = length > kLargestChapter ? Math.ceil(length / kPiece) : 1;
  let piece = [];
  let before = 0;
  let made = 1;
  for (const p of paragraphs) {
    // The border nearest to the next even share.
    if (piece.length && made < count && before + p.length / 2 > (length * made) / count) {
      yield piece.join('\n\n');
      piece = [];
      made++;
    }
    piece.push(p);
    before += p.length + 2;
  }
  if (piece.length) yield piece.join('\n\n');
}

const kChapter = /^(?=(?:(?:CHAPTER|ADVENTURE) [\dIVXLC]+\b.*|[IVXLC]+\. [A-Z' -]+|Epilogue|EPILOGUE)\n\n)/m;

function* novel() {
  for (const file of filesBelow(folder)) {
    if (!file.endsWith('.txt')) continue;
    const text = read(file);
    const start = /^\*\*\* ?START OF TH(E|IS) PROJECT GUTENBERG.*\n/m.exec(text ?? '');
    if (!start) continue;
    const body = text.slice(start.index + start[0].length).split(/^(?:\*\*\* ?END OF|End of (?:the )?Project Gutenberg)/m)[0];
    // What is before the first chapter is title page, contents, mottoes.
    const chapters = body.split(kChapter);
    for (const chapter of chapters.length > 1 ? chapters.slice(1) : chapters)
      yield* pieces(chapter.split(/\n\s*\n/).map(unwrap).filter(Boolean));
  }
}

// Lines "Ge1:2 And the earth ...": one document a chapter.
function* verses() {
  let chapter = '';
  let lines = [];
  for (const line of (read(path.join(folder, 'verses.txt')) ?? '').split('\n')) {
    const match = /^(\w+\d+):\d+ (.*)$/.exec(line);
    if (!match) continue;
    if (match[1] !== chapter && lines.length) {
      yield lines.join(' ');
      lines = [];
    }
    chapter = match[1];
    lines.push(match[2].trim());
  }
  if (lines.length) yield lines.join(' ');
}

// ---- the file

const recipes = { brown, factbook, html, novel, verses,
  python: () => sources(['.py']),
  lua: () => sources(['.lua', '.nse']) };

try {
  const seen = new Set(fs.readFileSync(seenPath, 'utf8').split('\n'));
  const output = fs.openSync(outPath, 'w');
  const added = [];
  let bytes = 0;
  for (const text of recipes[recipe]()) {
    const size = Buffer.byteLength(text);
    const hash = createHash('sha256').update(text).digest('hex');
    if (size < kSmallest || text.includes('\0') || seen.has(hash)) {
      dropped++;
      continue;
    }
    seen.add(hash);
    added.push(`${hash}\n`);
    bytes += size;
    fs.writeFileSync(output, `${JSON.stringify({ text })}\n`);
  }
  fs.closeSync(output);
  fs.appendFileSync(seenPath, added.join(''));
  console.log(added.length, bytes, dropped);
} catch (error) {
  console.error(`corpora: ${recipe}: ${error.message}`);
  process.exit(noRoom(error) ? 3 : 1);
}
