// A hub and the storage that it redirects to, on 127.0.0.1: what scripts/corpora huggingface asks for, as
// the Hugging Face hub answers it, and faults.
import { createHash } from 'node:crypto';
import http from 'node:http';

const hash = (algorithm, ...parts) => parts.reduce((h, part) => h.update(part), createHash(algorithm)).digest('hex');

export class HubServer {
  /// repositories: {name: {kind, licence, gated, files: [{path, bytes, small, sha256, size}]}}, where sha256 and
  /// size replace what is true. fault(request) may answer a request itself: true if it did.
  constructor(repositories) {
    this.repositories = repositories;
    this.requests = []; // {where: 'hub' or 'storage', path, range, authorization}
    this.fault = () => false;
    this.acceptsRange = true;
    this.pageSize = 2;
  }

  async start() {
    this.hub = await this.listen('hub');
    this.storage = await this.listen('storage');
    this.endpoint = `http://127.0.0.1:${this.hub.address().port}`;
  }

  stop() {
    for (const server of [this.hub, this.storage]) {
      server.closeAllConnections?.();
      server.close();
    }
  }

  listen(where) {
    const server = http.createServer((request, response) => {
      const { range, authorization } = request.headers;
      const entry = { where, path: decodeURIComponent(request.url), range, authorization };
      this.requests.push(entry);
      if (this.fault({ ...entry, response, send: (from, to) => this.send(entry, response, from, to) })) return;
      where === 'hub' ? this.answer(request.url, authorization, response) : this.send(entry, response);
    });
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
  }

  answer(url, authorization, response) {
    const { pathname, searchParams } = new URL(url, this.endpoint);
    const path = pathname.split('/').map(decodeURIComponent).join('/');
    for (const [name, repository] of Object.entries(this.repositories)) {
      const commit = repository.commit ?? hash('sha1', name);
      const api = `/api/${repository.kind}/${name}`;
      const resolve = `/${repository.kind === 'datasets' ? 'datasets/' : ''}${name}/resolve/${commit}/`;
      if (path === api) return json(response, { id: name, tags: ['region:us', `license:${repository.licence}`] });
      if (path === `${api}/revision/${repository.kind === 'datasets' ? 'refs/convert/parquet' : 'main'}`) return json(response, { sha: commit });
      if (path === `${api}/tree/${commit}` && searchParams.get('recursive') === 'true') {
        const from = Number(searchParams.get('cursor') ?? 0);
        const next = from + this.pageSize < repository.files.length;
        return json(response, [{ type: 'directory', oid: '0'.repeat(40), size: 0, path: 'default' }, ...repository.files.slice(from, from + this.pageSize).map(listed)],
          next && { link: `<${this.endpoint}${pathname}?recursive=true&cursor=${from + this.pageSize}>; rel="next"` });
      }
      const file = path.startsWith(resolve) && repository.files.find((f) => path === resolve + f.path);
      if (!file) continue;
      if (repository.gated && !authorization) return refuse(response, 401, 'GatedRepo');
      if (file.small) return this.send({ path: `/${name}/${file.path}` }, response);
      response.writeHead(302, { location: `http://127.0.0.1:${this.storage.address().port}/${name}/${encodeURIComponent(file.path)}` });
      return response.end();
    }
    refuse(response, authorization ? 404 : 401, 'RepoNotFound');
  }

  // The bytes of /OWNER/NAME/PATH, of which `from` and `to` are cut away.
  send({ path, range }, response, to = Infinity) {
    const [name, repository] = Object.entries(this.repositories).find(([n]) => path.startsWith(`/${n}/`));
    const { bytes } = repository.files.find((f) => path === `/${name}/${f.path}`);
    const from = this.acceptsRange && range ? Number(/^bytes=(\d+)-$/.exec(range)[1]) : 0;
    response.writeHead(from ? 206 : 200, {
      'content-length': bytes.length - from,
      ...(from ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {}),
    });
    response.write(bytes.subarray(from, to), () => (to < bytes.length ? response.destroy() : response.end()));
  }
}

function listed({ path, bytes, small, sha256, size }) {
  const blob = hash('sha1', `blob ${bytes.length}\0`, bytes);
  const common = { type: 'file', oid: blob, size: size ?? bytes.length, path };
  return small ? common : { ...common, lfs: { oid: sha256 ?? hash('sha256', bytes), size: size ?? bytes.length, pointerSize: 134 } };
}

function json(response, value, headers) {
  response.writeHead(200, { 'content-type': 'application/json', ...(headers || {}) });
  response.end(JSON.stringify(value));
}

/// An answer of the API of which the second half is missing: the connection ends, or, with `silent`, nothing comes.
export function breakOff(response, silent = false) {
  const half = '[{"type":"file",';
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': 2 * half.length });
  response.write(half, () => silent || response.destroy());
  return true;
}

export function refuse(response, status, code, headers = {}) {
  response.writeHead(status, { ...(code ? { 'x-error-code': code } : {}), ...headers });
  response.end();
  return true;
}
