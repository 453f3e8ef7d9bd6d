// scripts/corpora huggingface against a local server that speaks the hub's protocol (hub_server.mjs).
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import zlib from 'node:zlib';

import { parquetWriteBuffer } from 'hyparquet-writer';

import { HubServer, breakOff, refuse } from './hub_server.mjs';

const kCorpora = path.join(process.env.SOURCE, 'scripts', 'corpora');
const kToken = 'hf_SecretOfTheTest';

const compressors = {
  GZIP: (bytes) => zlib.gzipSync(bytes),
  ZSTD: (bytes) => spawnSync('zstd', ['-q', '-c'], { input: bytes }).stdout,
};

function parquet(texts, { column = 'text', codec = 'SNAPPY', rowGroupSize = 3, type = 'STRING' } = {}) {
  return Buffer.from(parquetWriteBuffer({
    columnData: [
      { name: 'number', data: texts.map((_, i) => i), type: 'INT32' },
      { name: column, data: texts, type },
    ],
    codec,
    rowGroupSize,
    compressors,
  }));
}

async function hubOf(t, repositories) {
  const hub = new HubServer(repositories);
  await hub.start();
  t.after(() => hub.stop());
  return hub;
}

function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'featflow-huggingface-'));
  t.after(() => fs.rmSync(made, { recursive: true, force: true }));
  return path.join(made, 'out');
}

function corpora(hub, out, options = [], environment = {}) {
  const child = spawn('bash', [kCorpora, 'huggingface', '--out', out, ...options], {
    env: { ...process.env, HF_ENDPOINT: hub.endpoint, HF_TOKEN: '', FEATFLOW_RETRY_SECONDS: '0.02', ...environment },
  });
  const result = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) child[stream].on('data', (text) => (result[stream] += text));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      for (const text of [result.stdout, result.stderr]) assert.doesNotMatch(text, new RegExp(kToken));
      resolve({ ...result, code });
    });
  });
}

function read(file) {
  const { status, stdout } = spawnSync('zstd', ['-dcq', file]);
  assert.equal(status, 0, file);
  return stdout.toString('utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line).text);
}

const manifest = (out) => fs.readFileSync(path.join(out, 'MANIFEST.tsv'), 'utf8').trimEnd().split('\n').slice(1).map((line) => line.split('\t'));
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

const kTexts = ['one', 'zwei – ü', '', '日本語 🐍', null, 'a\nb\t"c"\\', '\u2028', 'z'.repeat(5000)];
const kDocuments = kTexts.filter((text) => text);
const one = (bytes, more = {}) => ({ 'o/d': { kind: 'datasets', licence: 'mit', files: [{ path: 'default/train/0000.parquet', bytes, ...more }] } });
const kOne = ['--dataset', 'o/d'];
const kFile = 'o/d/train-0000.jsonl.zst';

// Text that does not compress, so that a file is large enough to break off in.
function largeTexts() {
  let state = 'x';
  return Array.from({ length: 300 }, () => Array.from({ length: 12 }, () => (state = sha256(state))).join(''));
}

function refused(result, ...expected) {
  assert.equal(result.code, 1, result.stderr);
  const last = result.stderr.trimEnd().split('\n').pop();
  assert.match(last, /^corpora: /);
  assert.doesNotMatch(result.stderr, /\n {4}at /); // a stack
  for (const text of expected) assert.ok(result.stderr.includes(text), `expected '${text}' in: ${result.stderr}`);
}

// Most of a run is waiting.
describe('scripts/corpora huggingface', { concurrency: 4 }, () => {
  test('the paper: three data sets and a tokenizer, all codecs, row groups, pages; then nothing to do', async (t) => {
    const tokenizer = Buffer.from([0, 1, 2, 255]);
    const hub = await hubOf(t, {
      'nilq/baby-python': { kind: 'datasets', licence: 'mit', files: [
        { path: 'default/train/0000.parquet', bytes: parquet(kTexts) },
        { path: 'default/train/0001.parquet', bytes: parquet(['second file'], { codec: 'GZIP' }) },
        { path: 'default/validation/0000.parquet', bytes: parquet(kTexts, { codec: 'ZSTD', rowGroupSize: 100 }) },
      ] },
      'nilq/small-lua-stack': { kind: 'datasets', licence: 'other', files: [
        { path: 'default/train/0000.parquet', bytes: parquet(['local x = 1'], { column: 'content', codec: 'UNCOMPRESSED' }) },
        { path: 'README.md', bytes: Buffer.from('hello'), small: true },
      ] },
      'roneneldan/TinyStories': { kind: 'datasets', licence: 'cdla-sharing-1.0', files: [
        { path: 'other config/train/0000.parquet', bytes: parquet(['Once upon a time'], {}), small: true },
      ] },
      'mistralai/Mistral-7B-v0.1': { kind: 'models', licence: 'apache-2.0', gated: true, files: [
        { path: 'config.json', bytes: Buffer.from('{}'), small: true },
        { path: 'tokenizer.model', bytes: tokenizer },
      ] },
    });
    const out = folder(t);
    const result = await corpora(hub, out, [], { HF_TOKEN: ` ${kToken} ` });
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(read(path.join(out, 'nilq/baby-python/train-0000.jsonl.zst')), kDocuments);
    assert.deepEqual(read(path.join(out, 'nilq/baby-python/train-0001.jsonl.zst')), ['second file']);
    assert.deepEqual(read(path.join(out, 'nilq/baby-python/validation-0000.jsonl.zst')), kDocuments);
    assert.deepEqual(read(path.join(out, 'nilq/small-lua-stack/train-0000.jsonl.zst')), ['local x = 1']);
    assert.deepEqual(read(path.join(out, 'roneneldan/TinyStories/other-config-train-0000.jsonl.zst')), ['Once upon a time']);
    assert.deepEqual(fs.readFileSync(path.join(out, 'tokenizer/tokenizer.model')), tokenizer);

    const rows = manifest(out);
    assert.equal(rows.length, 6);
    const [domain, source, licence, documents, bytes, file, , sum] = rows[0];
    assert.deepEqual([domain, licence, documents, file], ['nilq/baby-python', 'mit', String(kDocuments.length), 'nilq/baby-python/train-0000.jsonl.zst']);
    assert.match(source, /^nilq\/baby-python@[0-9a-f]{40}:default\/train\/0000\.parquet$/);
    assert.equal(Number(bytes), Buffer.byteLength(kDocuments.join('')));
    assert.equal(sum, sha256(fs.readFileSync(path.join(out, file))));
    assert.match(result.stdout, /nilq\/baby-python +13 /);
    assert.deepEqual(fs.readdirSync(out).sort(), ['MANIFEST.tsv', 'nilq', 'roneneldan', 'tokenizer']);

    for (const { where, authorization } of hub.requests) assert.equal(authorization, where === 'hub' ? `Bearer ${kToken}` : undefined);
    const asked = hub.requests.length;
    const again = await corpora(hub, out);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stderr, /nothing to do/);
    assert.equal(hub.requests.length, asked);

    // A file that was lost is fetched again, and only it.
    fs.rmSync(path.join(out, 'nilq/baby-python/train-0001.jsonl.zst'));
    assert.equal((await corpora(hub, out, [], { HF_TOKEN: kToken })).code, 0);
    assert.deepEqual(hub.requests.slice(asked).filter((r) => r.where === 'storage').map((r) => r.path), ['/nilq/baby-python/default/train/0001.parquet']);
    assert.deepEqual(read(path.join(out, 'nilq/baby-python/train-0001.jsonl.zst')), ['second file']);
  });

  test('a connection that breaks is taken up where it broke, in one run and in the next', async (t) => {
    const texts = largeTexts();
    const bytes = parquet(texts);
    const hub = await hubOf(t, one(bytes));
    let broken = 0;
    hub.fault = ({ where, send }) => where === 'storage' && broken++ === 0 && (send(100_000), true);
    let out = folder(t);
    let result = await corpora(hub, out, kOne);
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stderr, /the connection broke at byte \d+/);
    assert.deepEqual(read(path.join(out, kFile)), texts);
    const ranges = hub.requests.filter((r) => r.where === 'storage').map((r) => r.range);
    assert.equal(ranges.length, 2);
    assert.match(ranges[1], /^bytes=[1-9]\d*-$/);

    // Every connection dies before its first byte once 100,000 are there: the run gives up, and the next goes on.
    out = folder(t);
    hub.requests.length = 0;
    hub.fault = ({ where, send }) => where === 'storage' && (send(100_000), true);
    refused(await corpora(hub, out, kOne), 'the connection broke 5 times at byte 100000', 'run again to go on');
    assert.ok(!fs.existsSync(path.join(out, kFile)));
    hub.fault = () => false;
    hub.requests.length = 0;
    result = await corpora(hub, out, kOne);
    assert.equal(result.code, 0, result.stderr);
    assert.deepEqual(hub.requests.filter((r) => r.where === 'storage').map((r) => r.range), ['bytes=100000-']);
    assert.deepEqual(read(path.join(out, kFile)), texts);
  });

  test('a server that ignores Range, and one that falls silent', async (t) => {
    const texts = largeTexts();
    const hub = await hubOf(t, one(parquet(texts)));
    hub.acceptsRange = false;
    let broken = 0;
    hub.fault = ({ where, send, response }) => {
      if (where !== 'storage' || broken++ > 1) return false;
      if (broken === 1) send(50_000);
      else response.flushHeaders(); // and no byte more
      return true;
    };
    const out = folder(t);
    const result = await corpora(hub, out, kOne, { FEATFLOW_STALL_SECONDS: '1' });
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stderr, /cannot go on at byte 50000; starting anew/);
    assert.deepEqual(read(path.join(out, kFile)), texts);
  });

  test('an answer of the API that breaks off is asked for again, after a pause; for ever it is named', async (t) => {
    const hub = await hubOf(t, one(parquet(kTexts)));
    let broken = 0;
    hub.fault = ({ path: asked, response }) => asked.includes('/tree/') && broken++ < 2 && breakOff(response);
    let out = folder(t);
    const result = await corpora(hub, out, kOne);
    assert.equal(result.code, 0, result.stderr);
    for (const pause of ['0.02', '0.04']) assert.match(result.stderr, new RegExp(`/tree/.*: the answer broke off \\(.+\\); trying again in ${pause} s`));
    assert.deepEqual(read(path.join(out, kFile)), kDocuments);

    out = folder(t);
    hub.requests.length = 0;
    hub.fault = ({ path: asked, response }) => asked.includes('/tree/') && breakOff(response);
    refused(await corpora(hub, out, kOne), `${hub.endpoint}/api/datasets/o/d/tree/`, 'the answer about o/d broke off 5 times', 'run again to go on');
    assert.equal(hub.requests.filter((r) => r.path.includes('/tree/')).length, 5);
    assert.ok(!fs.existsSync(out));

    hub.fault = ({ path: asked, response }) => asked.includes('/tree/') && breakOff(response, true);
    refused(await corpora(hub, out, kOne, { FEATFLOW_STALL_SECONDS: '0.3' }), '/api/datasets/o/d/tree/', 'broke off 5 times (no byte in 0.3 s)', 'run again to go on');
  });

  test('429 with Retry-After and 500 are tried again; 429 for an hour and 500 for ever are not', async (t) => {
    const hub = await hubOf(t, one(parquet(kTexts)));
    const answers = [[429, { 'retry-after': '1' }], [500, {}], [503, {}]];
    hub.fault = ({ response }) => answers.length > 0 && refuse(response, answers[0][0], undefined, answers.shift()[1]);
    const out = folder(t);
    const start = Date.now();
    const result = await corpora(hub, out, kOne);
    assert.equal(result.code, 0, result.stderr);
    assert.ok(Date.now() - start > 1000);
    assert.match(result.stderr, /HTTP 429; trying again in 1 s/);
    assert.deepEqual(read(path.join(out, kFile)), kDocuments);

    hub.fault = ({ response }) => refuse(response, 429, undefined, { 'retry-after': '3600' });
    refused(await corpora(hub, folder(t), kOne), 'HTTP 429', 'wait 3600 s', 'HF_TOKEN');
    hub.fault = ({ response }) => refuse(response, 502);
    refused(await corpora(hub, folder(t), kOne), 'HTTP 502, 5 times', 'run again later');
  });

  test('what is gated, renamed, or refused is named, and the others go on', async (t) => {
    const bytes = parquet(kTexts);
    const hub = await hubOf(t, { ...one(bytes), 'o/gated': { ...one(bytes)['o/d'], gated: true } });
    const out = folder(t);
    refused(await corpora(hub, out, ['--dataset', 'o/gated', '--dataset', 'o/gone', '--dataset=o/d']),
      'o/gated: HTTP 401', 'set HF_TOKEN', 'o/gone: HTTP 401', 'renamed', 'without: o/gone, o/gated');
    assert.deepEqual(read(path.join(out, kFile)), kDocuments);
    assert.deepEqual(manifest(out).map((row) => [row[0], row[5]]), [['o/gated', '-'], ['o/d', kFile]]);

    const token = { HF_TOKEN: kToken };
    refused(await corpora(hub, out, ['--dataset', 'o/gone'], token), 'o/gone: HTTP 404', 'was it renamed');
    hub.fault = ({ path: asked, response }) => asked.includes('/resolve/') && refuse(response, 403, 'GatedRepo');
    refused(await corpora(hub, out, ['--dataset', 'o/gated'], token), 'HTTP 403', 'HF_TOKEN gives no access');
    hub.fault = () => false;
    const result = await corpora(hub, out, ['--dataset', 'o/gated'], token);
    assert.equal(result.code, 0, result.stderr);
    assert.equal(manifest(out).filter((row) => row[5] !== '-').length, 2); // o/d was not lost
  });

  test('a wrong checksum, a Parquet file that is none, one cut short, and columns that are not there', async (t) => {
    const bytes = parquet(kTexts);
    const out = folder(t);
    refused(await corpora(await hubOf(t, one(bytes, { sha256: '0'.repeat(64) })), out, kOne), 'sha256 is', `expected ${'0'.repeat(64)}`);
    refused(await corpora(await hubOf(t, one(bytes.subarray(0, bytes.length - 10))), out, kOne), 'o/d default/train/0000.parquet: not a whole Parquet file');
    refused(await corpora(await hubOf(t, one(Buffer.alloc(0))), out, kOne), 'not a whole Parquet file');
    const damaged = Buffer.from(bytes);
    damaged.fill(0xff, 4, 60);
    refused(await corpora(await hubOf(t, one(damaged)), out, kOne), 'cannot be read');

    const other = await hubOf(t, one(parquet(kTexts, { column: 'story' })));
    refused(await corpora(other, out, kOne), "no column 'text' or 'content'", 'its columns are number, story');
    refused(await corpora(other, out, ['--dataset', 'o/d:tale']), "no column 'tale'", 'number, story');
    refused(await corpora(other, out, ['--dataset', 'o/d:number']), "column 'number' holds numbers");
    assert.deepEqual(fs.readdirSync(path.join(out, 'o/d')), []);
    assert.equal((await corpora(other, out, ['--dataset', 'o/d:story'])).code, 0);
    assert.deepEqual(read(path.join(out, kFile)), kDocuments);
    // Another column of the same file is another text.
    refused(await corpora(other, out, ['--dataset', 'o/d:tale']), "no column 'tale'");
  });

  test('two sources with one result file are refused before anything is written', async (t) => {
    const hub = await hubOf(t, one(parquet(kTexts)));
    const { files } = hub.repositories['o/d'];
    const out = folder(t);
    refused(await corpora(hub, out, ['--dataset', 'o/d:text', '--dataset', 'o/d:title']),
      `${kFile}: 'o/d:text default/train/0000.parquet' and 'o/d:title default/train/0000.parquet' would both`, 'an --out of its own');
    refused(await corpora(hub, out, [...kOne, ...kOne]), 'is the data set named twice?');
    files.push({ path: 'a b/train/0000.parquet', bytes: parquet(['one']) }, { path: 'a+b/train/0000.parquet', bytes: parquet(['other']) });
    refused(await corpora(hub, out, kOne), "o/d/a-b-train-0000.jsonl.zst: 'o/d a b/train/0000.parquet' and 'o/d a+b/train/0000.parquet'", "differ only in what becomes '-'");
    assert.ok(!fs.existsSync(out));
    files.pop();
    assert.equal((await corpora(hub, out, kOne)).code, 0);
    assert.deepEqual(read(path.join(out, 'o/d/a-b-train-0000.jsonl.zst')), ['one']);
  });

  test('--force takes what has changed on the hub, and drops what is gone', async (t) => {
    const hub = await hubOf(t, one(parquet(['old'])));
    const [first] = hub.repositories['o/d'].files;
    hub.repositories['o/d'].files.push({ path: 'default/train/0001.parquet', bytes: parquet(['gone']) });
    const out = folder(t);
    assert.equal((await corpora(hub, out, kOne)).code, 0);
    hub.repositories['o/d'] = { ...hub.repositories['o/d'], commit: 'a'.repeat(40), files: [{ ...first, bytes: parquet(['new']) }] };
    assert.equal((await corpora(hub, out, kOne)).code, 0);
    assert.deepEqual(read(path.join(out, kFile)), ['old']);
    assert.equal((await corpora(hub, out, [...kOne, '--force'])).code, 0);
    assert.deepEqual(fs.readdirSync(path.join(out, 'o/d')), ['train-0000.jsonl.zst']);
    assert.deepEqual(read(path.join(out, kFile)), ['new']);
    assert.match(manifest(out)[0][1], /@a{40}:/);
  });

  test('no room: refused before, and in the middle', async (t) => {
    const bytes = parquet(largeTexts());
    const out = folder(t);
    refused(await corpora(await hubOf(t, one(bytes, { size: 1e15 })), out, kOne), 'MB are free, expected 2000000000 MB', '--out');

    const disk = folder(t);
    fs.mkdirSync(disk);
    const plenty = `${disk}.cjs`;
    fs.writeFileSync(plenty, "require('fs').statfsSync = () => ({ bavail: 1e9, bsize: 1 });");
    const mount = `mount -t tmpfs -o size=64k none ${disk}`;
    const unshare = ['--mount', ...(process.getuid() === 0 ? [] : ['--map-root-user'])];
    if (spawnSync('unshare', [...unshare, 'bash', '-c', mount]).status !== 0) return t.diagnostic('no file system of its own can be mounted: half skipped');
    // The room is checked with sizes that are too small, as another program may fill a disk later.
    const hub = await hubOf(t, one(bytes));
    const script = `${mount}; head -c 40k /dev/zero >${disk}/filler; NODE_OPTIONS='--require ${plenty}' bash ${kCorpora} huggingface --dataset o/d --out ${disk}/out`;
    const child = spawn('unshare', [...unshare, 'bash', '-c', script], { env: { ...process.env, HF_ENDPOINT: hub.endpoint } });
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    const code = await new Promise((resolve) => child.on('close', resolve));
    refused({ code, stderr }, 'the disk is full', 'make room and run again');
  });

  test('no network, another server, and what the user gets wrong', async (t) => {
    const hub = await hubOf(t, one(parquet(kTexts)));
    const out = folder(t);
    hub.fault = ({ response }) => (response.end('<html>'), true);
    refused(await corpora(hub, out, kOne), 'expected JSON', 'HF_ENDPOINT');
    refused(await corpora({ endpoint: 'http://127.0.0.1:9' }, out, kOne), 'cannot reach http://127.0.0.1:9', 'is there a network');
    refused(await corpora({ endpoint: 'huggingface.co' }, out, kOne), "HF_ENDPOINT is 'huggingface.co'");
    refused(await corpora(hub, out, ['--dataset', '../etc']), "--dataset '../etc': expected OWNER/NAME");
    refused(await corpora(hub, out, kOne, { HF_TOKEN: `${kToken}\nx` }), 'HF_TOKEN holds');
    assert.ok(!fs.existsSync(out));
    assert.equal((await corpora(hub, out, ['--datasett', 'x'])).code, 2);
  });
});
