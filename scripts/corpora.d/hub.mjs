// The Hugging Face hub's HTTP API: what a repository holds, and its files, resumed where they stopped.
// Nothing here prints the token, and it goes to no other host than the hub's.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const kTries = 5; // without progress
const kLongestPause = 300; // seconds that we wait because the hub asks for it
// Seconds; tests have less time. The pause doubles at each further try.
const kFirstPause = Number(process.env.FEATFLOW_RETRY_SECONDS ?? 1);
const kStalled = Number(process.env.FEATFLOW_STALL_SECONDS ?? 60); // without a byte

/// What is wrong with one repository alone; others can go on.
export class RepositoryError extends Error {}

/// Whether writing failed because there is no room.
export function noRoom(error) {
  return ['ENOSPC', 'EDQUOT'].includes(error?.code);
}

export function sha256(file) {
  const hash = createHash('sha256');
  eachPiece(file, (piece) => hash.update(piece));
  return hash.digest('hex');
}

// Small files are not in LFS; the hub names them as git does.
function gitBlob(file) {
  const hash = createHash('sha1').update(`blob ${fs.statSync(file).size}\0`);
  eachPiece(file, (piece) => hash.update(piece));
  return hash.digest('hex');
}

function eachPiece(file, visit) {
  const descriptor = fs.openSync(file, 'r');
  const buffer = Buffer.allocUnsafe(1 << 20);
  try {
    for (let size; (size = fs.readSync(descriptor, buffer, 0, buffer.length, null)); ) visit(buffer.subarray(0, size));
  } finally {
    fs.closeSync(descriptor);
  }
}

export class Hub {
  /// say(text): progress, and what is tried again.
  constructor({ endpoint, token, say }) {
    this.endpoint = endpoint.replace(/\/+$/, '');
    if (!/^https?:\/\/[^/]/.test(this.endpoint))
      throw new Error(`HF_ENDPOINT is '${endpoint}': expected http:// or https:// and a host`);
    // Without this check a header's own error message would show it.
    if (token && !/^[\x21-\x7e]+$/.test(token))
      throw new Error('HF_TOKEN holds blanks, line ends or other characters that no token has: expected hf_... alone');
    this.token = token;
    this.say = say;
    this.answered = false;
  }

  /// {commit, licence, files: [{path, size, sha256 or blob, url}]} of a repository as it is now. `kind` is
  /// 'datasets' or 'models'; files are pinned to the commit, so that all of them are of one state.
  async list(kind, name, revision) {
    const api = `${this.endpoint}/api/${kind}/${name}`;
    const { value: about } = await this.json(api, name);
    const licence = about.tags?.find((tag) => tag.startsWith('license:'))?.slice(8) ?? 'not stated';
    const { value: { sha: commit } } = await this.json(`${api}/revision/${encodeURIComponent(revision)}`, name);
    if (!/^[0-9a-f]{40}$/.test(commit ?? '')) throw new RepositoryError(`${name}: the hub names no commit of ${revision}`);
    const files = [];
    let page = `${api}/tree/${commit}?recursive=true`;
    while (page) {
      const { value: entries, next } = await this.json(page, name);
      for (const entry of entries) {
        if (entry.type !== 'file') continue;
        const size = entry.lfs?.size ?? entry.size;
        if (typeof entry.path !== 'string' || !Number.isSafeInteger(size) || size < 0)
          throw new RepositoryError(`${name}: the hub lists a file without path or size`);
        const path = entry.path.split('/').map(encodeURIComponent).join('/');
        files.push({
          path: entry.path,
          size,
          sha256: /^[0-9a-f]{64}$/.exec(entry.lfs?.oid?.replace(/^sha256:/, ''))?.[0],
          blob: entry.lfs ? undefined : /^[0-9a-f]{40}$/.exec(entry.oid)?.[0],
          url: `${this.endpoint}/${kind === 'datasets' ? 'datasets/' : ''}${name}/resolve/${commit}/${path}`,
        });
      }
      page = next;
    }
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    return { commit, licence, files };
  }

  /// One file of list(), whole and verified, at `to`. What `to`.part holds of it is not fetched again.
  async download(file, name, to) {
    const part = `${to}.part`;
    const descriptor = fs.openSync(part, fs.constants.O_RDWR | fs.constants.O_CREAT);
    try {
      let have = fs.fstatSync(descriptor).size;
      if (have > file.size) have = 0;
      for (let tries = 0, furthest = have; have < file.size; ) {
        have = await this.append(file, name, descriptor, have);
        if (have === file.size) break;
        tries = have > furthest ? 0 : tries + 1;
        furthest = Math.max(furthest, have);
        if (tries === kTries)
          throw new Error(`${name} ${file.path}: the connection broke ${kTries} times at byte ${have} of ${file.size}: run again to go on there`);
        const pause = kFirstPause * 2 ** tries;
        this.say(`${file.path}: the connection broke at byte ${have} of ${file.size}; going on there in ${pause} s`);
        await sleep(1000 * pause);
      }
      fs.ftruncateSync(descriptor, have);
      fs.fsyncSync(descriptor);
    } finally {
      fs.closeSync(descriptor);
    }
    const [what, expected, actual] = file.sha256
      ? ['sha256', file.sha256, sha256(part)]
      : ['git blob', file.blob, file.blob && gitBlob(part)];
    if (expected !== actual) {
      fs.rmSync(part);
      throw new Error(`${name} ${file.path}: ${what} is ${actual}, expected ${expected}: damaged on the way; it was deleted, run again to fetch it anew`);
    }
    fs.renameSync(part, to);
  }

  // Appends to a file that holds `have` bytes; returns how many it holds when the connection ends.
  async append(file, name, descriptor, have) {
    const response = await this.get(file.url, name, have ? { range: `bytes=${have}-` } : {});
    const from = response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0;
    if (from !== have) {
      if (from) throw new Error(`${name} ${file.path}: the server answered from byte ${from}, expected ${have}`);
      this.say(`${file.path}: the server cannot go on at byte ${have}; starting anew`);
      have = 0;
    }
    let shown = Date.now();
    try {
      for await (const piece of this.pieces(response)) {
        if (have + piece.length > file.size)
          throw new Error(`${name} ${file.path}: the server sends more than the ${file.size} bytes that the hub lists`);
        for (let done = 0; done < piece.length; ) done += fs.writeSync(descriptor, piece, done, piece.length - done, have + done);
        have += piece.length;
        if (Date.now() - shown > 10_000) {
          this.say(`${file.path}: ${megabytes(have)} of ${megabytes(file.size)} MB`);
          shown = Date.now();
        }
      }
    } catch (error) {
      if (!isNetworkError(error)) throw error;
    }
    return have;
  }

  // An answer of the API, and the address of its next page if there is one.
  async json(url, name) {
    for (let tries = 1; ; tries++) {
      const response = await this.get(url, name);
      const pieces = [];
      try {
        for await (const piece of this.pieces(response)) pieces.push(piece);
      } catch (error) {
        if (!isNetworkError(error)) throw error;
        if (tries === kTries)
          throw new Error(`${url}: the answer about ${name} broke off ${kTries} times (${reason(error)}): is the network down? run again to go on`);
        const pause = kFirstPause * 2 ** (tries - 1);
        this.say(`${url}: the answer broke off (${reason(error)}); trying again in ${pause} s`);
        await sleep(1000 * pause);
        continue;
      }
      const next = /<([^>]*)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1];
      try {
        return { value: JSON.parse(Buffer.concat(pieces).toString('utf8')), next: next && new URL(next, url).href };
      } catch {
        throw new Error(`${url}: expected JSON: is HF_ENDPOINT a hub?`);
      }
    }
  }

  async *pieces(response) {
    try {
      for await (const piece of response.body) {
        response.alive();
        yield piece;
      }
    } finally {
      response.done();
    }
  }

  // GET with redirects, and with tries again where that may help: 429, 5xx, a connection that fails.
  async get(url, name, headers = {}) {
    for (let tries = 1; ; tries++) {
      let response, problem;
      try {
        response = await this.follow(url, headers);
        this.answered = true;
      } catch (error) {
        if (!isNetworkError(error)) throw error;
        problem = reason(error);
        if (!this.answered)
          throw new Error(`cannot reach ${this.endpoint} (${problem}): is there a network, and is HF_ENDPOINT (if set) right?`);
      }
      if (response?.ok) return response;
      let pause = kFirstPause * 2 ** (tries - 1);
      if (response) {
        response.done();
        const { status } = response;
        if (status !== 429 && status < 500) throw refusal(response, url, name, Boolean(this.token));
        problem = `HTTP ${status}`;
        pause = Math.max(pause, seconds(response.headers.get('retry-after')));
        if (pause > kLongestPause)
          throw new Error(`${url}: ${problem}, and the hub asks to wait ${Math.ceil(pause)} s: try again then${this.token ? '' : ', or set HF_TOKEN for a higher limit'}`);
      }
      if (tries === kTries) throw new Error(`${url}: ${problem}, ${kTries} times: is the hub down? run again later to go on`);
      this.say(`${url}: ${problem}; trying again in ${pause} s`);
      await sleep(1000 * pause);
    }
  }

  // The token goes to the hub alone, not to where it sends us for the file.
  async follow(url, headers) {
    const controller = new AbortController();
    let timer;
    const done = () => { clearTimeout(timer); controller.abort(); };
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(new Stalled(`no byte in ${kStalled} s`)), 1000 * kStalled);
    };
    alive();
    try {
      for (let hops = 0; hops < 10; hops++) {
        const own = new URL(url).origin === new URL(this.endpoint).origin;
        const response = await fetch(url, {
          redirect: 'manual',
          signal: controller.signal,
          headers: {
            ...headers,
            'accept-encoding': 'identity', // lengths and ranges are of the file itself
            'user-agent': 'featflow-corpora',
            ...(own && this.token ? { authorization: `Bearer ${this.token}` } : {}),
          },
        });
        if (response.status < 300 || response.status > 399) return Object.assign(response, { alive, done });
        await response.body?.cancel();
        url = new URL(response.headers.get('location') ?? '', url).href;
      }
    } catch (error) {
      done();
      throw error;
    }
    done();
    throw new Error(`${url}: more than 10 redirections`);
  }
}

class Stalled extends Error {}

// What fetch reports when the connection fails: as a TypeError, before the answer or while its body is read.
function isNetworkError(error) {
  return error instanceof Stalled || (error instanceof TypeError && /^(fetch failed|terminated)/.test(error.message));
}

function reason(error) {
  return error.cause?.code ?? error.cause?.message ?? error.message;
}

function seconds(retryAfter) {
  if (!retryAfter) return 0;
  const value = /^\d+$/.test(retryAfter) ? Number(retryAfter) : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isFinite(value) ? Math.max(0, value) : 0;
}

// Without a token the hub answers 401 for what is private, gated or not there at all.
function refusal(response, url, name, withToken) {
  const { status } = response;
  const code = response.headers.get('x-error-code');
  const where = `${name}: HTTP ${status} for ${url}`;
  if (status === 404 || code === 'RepoNotFound')
    return new RepositoryError(`${where}: ${code === 'RevisionNotFound' ? 'no such branch' : 'not there'}; was it renamed or withdrawn?`);
  if (status === 401 || status === 403)
    return new RepositoryError(withToken
      ? `${where}: HF_TOKEN gives no access; accept its terms on its page with the account of the token, or was it renamed?`
      : `${where}: gated, private or renamed; accept its terms on its page and set HF_TOKEN to a token of that account`);
  if (status === 416) return new Error(`${where}: the file is shorter than the hub lists; run again later`);
  return new Error(`${where}: expected 200`);
}

export function megabytes(bytes) {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
