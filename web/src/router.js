// Hash routes: "#/feature/Lua/17", "#/features/Lua?sort=max". Works from a file, and can be shared:
// whatever a view depends on stands in it.
import { useEffect, useState } from 'preact/hooks';

export function parseRoute(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { page: parts[0] || 'overview', parts: parts.slice(1), query: new URLSearchParams(query) };
}

export function href(page, parts = [], query = {}) {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const path = [page, ...parts].map((part) => encodeURIComponent(String(part))).join('/');
  return `#/${path}${entries.length ? `?${new URLSearchParams(entries)}` : ''}`;
}

export const modelHref = (model, query) => href('features', [model], query);
export const featureHref = (model, feature) => href('feature', [model, feature]);

/** Changes the view's state, {name: value or ''}, without an entry in the browser's history. */
export function changeQuery(route, changes) {
  location.replace(href(route.page, route.parts, { ...Object.fromEntries(route.query), ...changes }));
}

export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  return parseRoute(hash);
}
