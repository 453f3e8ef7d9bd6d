// Parquet → JSONL, one {"text": "..."} a row, compressed with zstd. A row group is in memory at a time.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';

import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

import { RepositoryError } from './hub.mjs';

const kTextColumns = ['text', 'content']; // the first that a file has, where none was asked for
const kWritten = 1 << 20; // characters handed on at a time

/// Writes the text of `parquet` to `to` (.jsonl.zst), whole or not at all. Rows that are null or empty hold
/// no document. `what` names the file in errors. Returns {documents, bytes, dropped}.
export async function parquetToJsonl(parquet, column, to, what) {
  let file, metadata;
  try {
    file = await asyncBufferFromFile(parquet);
    metadata = await parquetMetadataAsync(file);
  } catch (error) {
    throw new RepositoryError(`${what}: not a whole Parquet file (${error.message}): expected PAR1 and its footer at the end`);
  }
  const names = parquetSchema(metadata).children.map((child) => child.element.name);
  const chosen = column ? names.find((name) => name === column) : kTextColumns.find((name) => names.includes(name));
  if (!chosen)
    throw new RepositoryError(`${what}: no column ${column ? `'${column}'` : kTextColumns.map((n) => `'${n}'`).join(' or ')}; its columns are ${names.join(', ')} (--dataset NAME:COLUMN)`);

  const output = new Zstd(to);
  const counts = { documents: 0, bytes: 0, dropped: 0 };
  try {
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await readGroup({ file, metadata, compressors, columns: [chosen], rowStart, rowEnd }, what);
      for (const { [chosen]: text } of rows) {
        if (text === null || text === undefined || text === '') {
          counts.dropped++;
          continue;
        }
        if (typeof text !== 'string')
          throw new RepositoryError(`${what}: column '${chosen}' holds ${Array.isArray(text) ? 'lists' : `${typeof text}s`}, expected text (--dataset NAME:COLUMN)`);
        counts.documents++;
        counts.bytes += Buffer.byteLength(text);
        await output.write(`${JSON.stringify({ text })}\n`);
      }
      rowStart = rowEnd;
    }
    await output.finish();
  } catch (error) {
    output.abandon();
    throw error;
  }
  return counts;
}

async function readGroup(options, what) {
  let rows;
  try {
    rows = await parquetReadObjects(options);
  } catch (error) {
    throw new RepositoryError(`${what}: rows ${options.rowStart} to ${options.rowEnd} cannot be read (${error.message}): is it damaged?`);
  }
  const expected = options.rowEnd - options.rowStart;
  if (rows.length !== expected)
    throw new RepositoryError(`${what}: ${rows.length} rows from ${options.rowStart} on, expected ${expected}: is it damaged?`);
  return rows;
}

// Node 18 cannot compress with zstd, so the command does.
class Zstd {
  constructor(to) {
    this.to = to;
    this.partial = `${to}.partial`;
    this.pending = [];
    this.size = 0;
    this.said = '';
    this.process = spawn('zstd', ['-q', '-f', '-10', '-T0', '-o', this.partial], { stdio: ['pipe', 'ignore', 'pipe'] });
    this.process.stderr.on('data', (text) => (this.said += text));
    this.process.stdin.on('error', () => {}); // its exit says why
    this.closed = once(this.process, 'close');
    this.closed.catch(() => {});
  }

  async write(line) {
    this.pending.push(line);
    this.size += line.length;
    if (this.size > kWritten) await this.flush();
  }

  async flush() {
    const more = this.process.stdin.write(this.pending.join(''));
    this.pending = [];
    this.size = 0;
    if (!more) await Promise.race([once(this.process.stdin, 'drain').catch(() => {}), this.closed]);
    if (this.process.exitCode !== null) await this.finish();
  }

  async finish() {
    if (this.process.exitCode === null) this.process.stdin.end(this.pending.join(''));
    const [code] = await this.closed;
    if (code !== 0)
      throw Object.assign(new Error(`cannot write ${this.to} (zstd: ${this.said.trim().split('\n').pop() || `exit code ${code}`})`),
        { code: /no space|quota/i.test(this.said) ? 'ENOSPC' : undefined });
    const descriptor = fs.openSync(this.partial, 'r');
    fs.fsyncSync(descriptor);
    fs.closeSync(descriptor);
    fs.renameSync(this.partial, this.to);
  }

  abandon() {
    this.process.kill();
    fs.rmSync(this.partial, { force: true });
  }
}
