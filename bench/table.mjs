// node bench/table.mjs RESULTS [DOC]: Markdown tables of the results, to stdout or between the markers
// of DOC, so that no figure there is typed by hand.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';

const [folder, doc] = process.argv.slice(2);
if (!folder) throw new Error('usage: node bench/table.mjs RESULTS [DOC]');

const results = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')))
    .map((result) => [result.benchmark, result]),
);

const titles = {
  autoencoder_step: 'Autoencoder step',
  autoencoder_training: 'Autoencoder training, with the model that makes the activations',
  correlation: 'Correlation of all pairs, from files to matches',
  language_model_step: 'Language-model step',
  merge_curve: 'Merging',
  autoencoder_growth: 'Autoencoder step: growth',
  correlation_growth: 'Correlation: growth',
  language_model_growth: 'Language-model step: growth',
};

const digits = (x) => (x >= 1000 ? Math.round(x).toLocaleString('en') : String(Number(x.toPrecision(3))));
const seconds = (s) => (s < 1 ? `${digits(s * 1000)} ms` : `${digits(s)} s`);
// Quartiles of fewer than three rounds would say nothing.
const spread = (s, format, rounds) =>
  rounds < 3 ? format(s.median) : `${format(s.median)} (${format(s.low)} – ${format(s.high)})`;
const roundsOf = (row) => row.sides[0].seconds.length;
const bytes = (b) => (b < 2 ** 30 ? `${Math.round(b / 2 ** 20)} MiB` : `${(b / 2 ** 30).toFixed(2)} GiB`);
const table = (head, rows) =>
  [head, head.map((_, i) => (i ? '---:' : '---')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

function bound({ at_least: least, at_most: most }) {
  if (least !== undefined) return `≥ ${digits(least)}`;
  return most === undefined ? '' : `≤ ${digits(most)}`;
}
const kept = ({ median, at_least: least, at_most: most }) =>
  (least === undefined || median >= least) && (most === undefined || median <= most);
const verdict = (ok) => (ok ? 'yes' : '**no**');

// Budgets: one line per bound.
function budgetRows(result) {
  const lines = [];
  for (const row of result.rows) {
    const where = `${titles[result.benchmark]}, ${row.name}`;
    for (const ratio of row.ratios) {
      if (!bound(ratio)) continue;
      lines.push([`${where}: ${ratio.what}`, bound(ratio), spread(ratio, digits, roundsOf(row)), verdict(kept(ratio))]);
    }
    for (const m of row.memory) {
      const most = m.at_most_bytes ?? m.at_most_share * m.of_bytes;
      const what = m.of ? `memory of ${m.side} against ${m.of}` : `memory of ${m.side}`;
      const budget = m.of ? `≤ ${digits(m.at_most_share)}` : `≤ ${bytes(most)}`;
      const got = m.of ? digits(m.peak_bytes / m.of_bytes) : bytes(m.peak_bytes);
      lines.push([`${where}: ${what}`, budget, got, verdict(m.peak_bytes <= most)]);
    }
  }
  return lines;
}

function factText(side) {
  const { L0, gflop, loss, pairs, tokens } = side.facts;
  const facts = [];
  if (L0 !== undefined) facts.push(`L0 ${digits(L0)}`);
  if (loss !== undefined) facts.push(`loss ${Number(loss.toPrecision(6))}`);
  if (gflop !== undefined) facts.push(`${digits(gflop / side.spread.median)} Gflop/s`);
  if (tokens !== undefined) facts.push(`${digits(tokens / side.spread.median)} tokens/s`);
  if (pairs !== undefined) facts.push(`${digits(pairs)} pairs`);
  return facts.join(', ');
}

function sideTable(result) {
  const rows = result.rows.flatMap((row) =>
    row.sides.map((side, i) => [
      i ? '' : row.name,
      i ? '' : roundsOf(row),
      side.name,
      spread(side.spread, seconds, roundsOf(row)),
      seconds(side.processor_seconds.median),
      bytes(side.peak_bytes),
      factText(side),
    ]),
  );
  return table(['case', 'rounds', 'side', 'time (quartiles)', 'processor time', 'peak memory', ''], rows);
}

function growthTable(result) {
  const rows = result.rows.map((row) => [
    row.name,
    Object.entries(row.sizes)
      .map(([name, size]) => `${name} ${size.toLocaleString('en')}`)
      .join(', '),
    roundsOf(row),
    ...row.sides.map((side) => spread(side.spread, seconds, roundsOf(row))),
    bytes(row.sides[0].peak_bytes),
    row.ratios.map((ratio) => `${digits(ratio.median)} ${ratio.what}`).join('; '),
  ]);
  const names = result.rows[0].sides.map((side) => side.name);
  return table(['case', 'sizes', 'rounds', ...names, 'peak memory', 'ratio'], rows);
}

function machineText(result) {
  const m = result.machine;
  return (
    `${m.processor}, ${m.threads} threads; ${m.blas} at ${m.blas_gflops} Gflop/s; LibTorch ${m.libtorch}; ` +
    `${m.compiler}; revision ${m.revision}, ${m.date}; other programs used ` +
    `${Math.round(100 * m.used_by_others)}% of the processors`
  );
}

const names = Object.keys(titles).filter((name) => results.has(name));
const parts = [
  '### Budgets',
  table(['what', 'budget', 'median (quartiles)', 'kept'], names.flatMap((name) => budgetRows(results.get(name)))),
];
for (const name of names) {
  const result = results.get(name);
  parts.push(`### ${titles[name]}`, `Measured on: ${machineText(result)}.`, name.endsWith('_growth') ? growthTable(result) : sideTable(result));
}
const text = parts.join('\n\n');

if (!doc) {
  console.log(text);
} else {
  const [begin, end] = ['<!-- bench/table.mjs: begin -->', '<!-- bench/table.mjs: end -->'];
  const page = readFileSync(doc, 'utf8');
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${doc}: expected ${begin} … ${end}`);
  writeFileSync(doc, `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`);
}
