// huggingface.mjs OUT FORCE [NAME[:COLUMN]...]: data sets of the Hugging Face hub as JSONL below OUT, and,
// when none is named, the paper's own and the tokenizer of its models. See scripts/corpora --help.
import fs from 'node:fs';
import path from 'node:path';

import { Hub, RepositoryError, megabytes, noRoom, sha256 } from './hub.mjs';
import { parquetToJsonl } from './parquet.mjs';

const kDatasets = ['nilq/baby-python', 'nilq/small-lua-stack', 'roneneldan/TinyStories'];
const kTokenizer = { repository: 'mistralai/Mistral-7B-v0.1', path: 'tokenizer.model' };
// The hub converts every public data set to Parquet and keeps the result on this branch.
const kConverted = 'refs/convert/parquet';
const kColumns = ['domain', 'source', 'licence', 'documents', 'bytes', 'file', 'source_hash', 'sha256'];

const [out, force, ...asked] = process.argv.slice(2);
// Names come from the hub: a terminal must not obey them.
const say = (text) => process.stderr.write(`corpora: ${String(text).replace(/[\x00-\x1f\x7f]+/g, ' ')}\n`);

// ---- the manifest: one row a file; a file that is not there yet is '-'

const manifestFile = path.join(out, 'MANIFEST.tsv');

function readManifest() {
  if (!fs.existsSync(manifestFile)) return [];
  const [header, ...lines] = fs.readFileSync(manifestFile, 'utf8').trimEnd().split('\n');
  if (header !== kColumns.join('\t'))
    throw new Error(`${manifestFile}: not the manifest of this recipe: expected '--out' with a folder of its own`);
  return lines.map((line) => Object.fromEntries(line.split('\t').map((value, i) => [kColumns[i], value])));
}

function writeManifest(rows) {
  const lines = [kColumns, ...rows.map((row) => kColumns.map((column) => row[column]))];
  const partial = `${manifestFile}.partial`;
  fs.writeFileSync(partial, lines.map((line) => `${line.join('\t')}\n`).join(''));
  fs.renameSync(partial, manifestFile);
}

const ready = (row) => {
  const file = path.join(out, row.file);
  return row.file !== '-' && fs.existsSync(file) && sha256(file) === row.sha256;
};

// ---- what there is to fetch

// OWNER/NAME, as a path too.
function wanted(request) {
  const [name, column] = request.split(':');
  if (!/^[\w-][\w.-]*(\/[\w-][\w.-]*)?$/.test(name) || column === '')
    throw new Error(`--dataset '${request}': expected OWNER/NAME or OWNER/NAME:COLUMN`);
  return { domain: name, repository: name, kind: 'datasets', revision: kConverted, column, select: (file) => file.path.endsWith('.parquet') };
}

// default/train/0000.parquet → train-0000.jsonl.zst
function resultName(want, file) {
  if (want.kind === 'models') return path.basename(file.path);
  return `${file.path.replace(/^default\//, '').replace(/\.parquet$/, '').replace(/[^\w.-]+/g, '-')}.jsonl.zst`;
}

async function list(hub, want) {
  const { commit, licence, files } = await hub.list(want.kind, want.repository, want.revision);
  const chosen = files.filter(want.select);
  if (!chosen.length)
    throw new RepositoryError(`${want.repository}: no ${want.kind === 'models' ? kTokenizer.path : 'Parquet file'} at ${want.revision}: was it renamed?`);
  if (chosen.some((file) => /(^|\/)partial-/.test(file.path)))
    say(`${want.repository}: too large for the hub to convert as a whole; this is its first part`);
  return chosen.map((file) => ({
    want,
    file,
    result: path.join(want.domain, resultName(want, file)),
    row: {
      domain: want.domain,
      source: `${want.repository}@${commit}:${file.path.replace(/\s/g, '_')}`,
      licence: licence.replace(/\s+/g, ' '),
      documents: 0,
      bytes: 0,
      file: '-',
      source_hash: `${file.sha256 ?? file.blob ?? '-'}${want.column ? `#${want.column}` : ''}`,
      sha256: '-',
    },
  }));
}

// The second of two sources with one result file would overwrite the first.
function refuseShared(jobs) {
  const first = new Map();
  const source = ({ want, file }) => `${want.repository}${want.column ? `:${want.column}` : ''} ${file.path}`;
  for (const job of jobs) {
    const other = first.get(job.result);
    if (other)
      throw new Error(`${job.result}: '${source(other)}' and '${source(job)}' would both be written there, expected one: ${
        other.want === job.want ? "do the hub's names differ only in what becomes '-' here?" : 'is the data set named twice? another column needs a run and an --out of its own'}`);
    first.set(job.result, job);
  }
}

// ---- one file

async function fetchOne(hub, { want, file, result, row }) {
  const to = path.join(out, result);
  fs.mkdirSync(path.dirname(to), { recursive: true });
  // Its name is its content's, so that a file which has changed on the hub is not mixed with an older part.
  const downloads = path.join(out, '.download.partial');
  fs.mkdirSync(downloads, { recursive: true });
  const download = path.join(downloads, file.sha256 ?? file.blob ?? row.source.replace(/\W+/g, '-'));
  await hub.download(file, want.repository, download);
  let counts = { documents: 1, bytes: file.size, dropped: 0 };
  try {
    if (want.kind === 'models') fs.renameSync(download, to);
    else counts = await parquetToJsonl(download, want.column, to, `${want.repository} ${file.path}`);
  } finally {
    fs.rmSync(download, { force: true });
  }
  Object.assign(row, { documents: counts.documents, bytes: counts.bytes, file: result, sha256: sha256(to) });
  return counts;
}

function checkRoom(jobs) {
  if (!fs.statfsSync) return; // node before 18.15
  // What is written has about the size of what is fetched, and one file is there in both forms.
  const sizes = jobs.map((job) => job.file.size);
  const need = sizes.reduce((a, b) => a + b, 0) + Math.max(...sizes);
  const { bavail, bsize } = fs.statfsSync(out);
  say(`${jobs.length} files to fetch, ${megabytes(need - Math.max(...sizes))} MB; up to ${megabytes(need)} MB of ${megabytes(bavail * bsize)} MB free in ${out}`);
  if (bavail * bsize < need)
    throw new Error(`${out}: ${megabytes(bavail * bsize)} MB are free, expected ${megabytes(need)} MB: make room, or choose another disk with --out`);
}

function summary(rows) {
  const line = (name, documents, size) => console.log(`${name.padEnd(28)} ${documents.padStart(10)} ${size.padStart(8)}`);
  line('data set', 'documents', 'MB');
  for (const domain of new Set(rows.map((row) => row.domain))) {
    const of = rows.filter((row) => row.domain === domain);
    const sum = (column) => of.reduce((total, row) => total + Number(row[column]), 0);
    line(domain, String(sum('documents')), (sum('bytes') / 1e6).toFixed(1));
  }
}

async function main() {
  const wants = (asked.length ? asked : kDatasets).map(wanted);
  if (!asked.length)
    wants.push({ domain: 'tokenizer', repository: kTokenizer.repository, kind: 'models', revision: 'main', select: (file) => file.path === kTokenizer.path });

  const hub = new Hub({
    endpoint: process.env.HF_ENDPOINT || 'https://huggingface.co',
    token: process.env.HF_TOKEN?.trim() || undefined,
    say,
  });
  const before = readManifest();
  const of = (want) => before.filter((row) => row.domain === want.domain);
  const whole = (want) => of(want).length && of(want).every((row) => row.source_hash.split('#')[1] === want.column && ready(row));
  if (force === '0' && wants.every(whole)) {
    say(`${out} is whole: nothing to do (--force asks the hub for what has changed)`);
    return;
  }

  const others = before.filter((row) => !wants.some((want) => want.domain === row.domain));
  const problems = [];
  const gather = async (repository, action) => {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error;
      say(error.message);
      problems.push(repository);
      return undefined;
    }
  };

  const listed = [];
  const jobs = [];
  const rows = [...others];
  for (const want of wants) {
    const found = await gather(want.repository, () => list(hub, want));
    if (!found) {
      rows.push(...of(want)); // what is there stays
      continue;
    }
    listed.push(...found);
    for (const job of found) {
      const old = of(want).find((row) => row.source_hash === job.row.source_hash && row.file === job.result);
      if (!job.row.source_hash.startsWith('-') && old && ready(old)) Object.assign(job.row, old, { source: job.row.source });
      else jobs.push(job);
      rows.push(job.row);
    }
  }
  refuseShared(listed);
  fs.mkdirSync(out, { recursive: true });
  if (jobs.length) checkRoom(jobs);
  writeManifest(rows);
  for (const [index, job] of jobs.entries()) {
    const counts = await gather(job.want.repository, () => fetchOne(hub, job));
    if (!counts) continue;
    writeManifest(rows);
    say(`[${index + 1}/${jobs.length}] ${job.result}: ${counts.documents} documents, ${megabytes(counts.bytes)} MB (${counts.dropped} dropped)`);
  }
  // Files of an earlier state of the hub are in nobody's manifest any more.
  for (const { file } of before) {
    if (file !== '-' && !rows.some((row) => row.file === file)) fs.rmSync(path.join(out, file), { force: true });
  }
  summary(rows);
  if (problems.length) throw new Error(`without: ${[...new Set(problems)].join(', ')} (named above; run again when that is mended)`);
  fs.rmSync(path.join(out, '.download.partial'), { recursive: true, force: true });
  say(`done; ${manifestFile} names sources and licences`);
}

process.on('SIGINT', () => {
  say('interrupted: run again to go on');
  process.exit(130);
});

try {
  await main();
} catch (error) {
  const fault = error instanceof Error && !(error instanceof TypeError) ? error.message : error?.stack;
  say(noRoom(error) ? `${out}: the disk is full (${error.message}): make room and run again to go on` : fault);
  process.exitCode = 1;
}
