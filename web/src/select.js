// Which features a list shows, and in what order.
import { thresholdsOf } from './edges.js';

export const kClasses = {
  p: 'persisting', d: 'disappearing', e: 'emerging', u: 'unmeasurable', x: 'silent',
};
export const kOrigins = { b: 'traced back to the base', f: 'emerged in fine-tuning', m: 'emerged at the merge' };

/** A feature of the list as one number: its model's index in the report, and its own. */
const kModel = 2 ** 24;
export const codeOf = (model, feature) => model * kModel + feature;
export const modelOf = (code) => Math.floor(code / kModel);
export const featureOf = (code) => code % kModel;

/**
 * A model's edges, seen from it: [{other, up: the other is the parent, classes}]. Classes are those at the
 * threshold tau where the flow was counted there too, else (tau: null) at the report's own.
 */
export function edgesOf(model, index, flow = null, tau = null) {
  return index.edges.map((edge) => {
    const up = edge.child === model.name;
    const counted = tau !== null && edge.reached
      && flow?.family.find((e) => e.parent === edge.parent && e.child === edge.child);
    const k = counted ? thresholdsOf([counted]).findIndex((t) => Math.abs(t - tau) < 1e-9) : -1;
    const letter = (was, j) => (was === 'u' || was === 'x' ? was
      : edge.reached.charCodeAt(j) - 97 > k ? 'p' : up ? 'e' : 'd');
    return { ...edge, other: up ? edge.parent : edge.child, up,
      classes: k < 0 ? edge.classes : Array.from(edge.classes, letter).join('') };
  });
}

/** [feature, r] of the best partner, in one model (its index) or in any; null if there is none. */
export function bestOf(index, j, other) {
  let best = null;
  for (const [model, features, correlations] of index.best) {
    if (other !== null && model !== other) continue;
    if (features[j] >= 0 && (!best || correlations[j] > best[2])) best = [model, features[j], correlations[j]];
  }
  return best;
}

function classTest(wanted, { index, edges }) {
  const [name, other] = wanted.split(/:(.*)/s);
  if (other !== undefined) {
    const edge = edges.find((e) => e.other === other);
    return edge ? (j) => kClasses[edge.classes[j]] === name : () => false;
  }
  switch (name) {
    case 'measurable': return (j) => index.measurable[j] === '1';
    case 'unmeasurable': return (j) => index.measurable[j] === '0' && index.density[j] > 0;
    case 'silent': return (j) => !index.density[j];
    case 'persisting': case 'disappearing': case 'emerging':
      return (j) => edges.some((e) => kClasses[e.classes[j]] === name);
    default: return () => true;
  }
}

function pathTest(wanted, { index }) {
  const origin = /^origin:(.)$/.exec(wanted)?.[1];
  if (origin) return (j) => index.origins[j] === origin;
  const path = index.paths.find(([number]) => String(number) === wanted);
  return path ? (j) => path[1][j] === '1' : () => false;
}

/** Number in the filters, or null if nothing or no number was given. */
const bound = (text) => (text === '' || text === null || !Number.isFinite(Number(text)) ? null : Number(text));

/** {class, path, group, text, least: score, r, from and to: density}; `other`: whose partner r is of. */
export function select(models, vocabulary, filters, sort, up) {
  const needle = filters.text.trim().toLowerCase();
  const holds = new Map();  // token id → whether it contains the text
  const hasToken = (id) => {
    if (!holds.has(id)) holds.set(id, (vocabulary[id] ?? '').toLowerCase().includes(needle));
    return holds.get(id);
  };
  const [least, r, from, to] = [filters.least, filters.r, filters.from, filters.to].map(bound);
  const rows = [], keys = new Map();
  for (const model of models) {
    const { index, said, number } = model;
    const tests = [classTest(filters.class, model)];
    if (filters.path) tests.push(pathTest(filters.path, model));
    if (filters.group) tests.push((j) => said.get(j)?.group === filters.group);
    if (least !== null) tests.push((j) => (said.get(j)?.score ?? -Infinity) >= least);
    if (r !== null) tests.push((j) => (bestOf(index, j, filters.other)?.[2] ?? -Infinity) >= r);
    if (from !== null) tests.push((j) => index.density[j] >= from / 100);
    if (to !== null) tests.push((j) => index.density[j] <= to / 100);
    if (needle) {
      tests.push((j) => {
        const e = said.get(j);
        return index.tokens[j].some(hasToken) || e?.text?.toLowerCase().includes(needle)
          || e?.words?.toLowerCase().includes(needle) || needle === `#${j}`;
      });
    }
    const key = {
      score: (j) => said.get(j)?.score, r: (j) => bestOf(index, j, filters.other)?.[2],
      density: (j) => index.density[j], documents: (j) => index.documents[j], max: (j) => index.max[j],
    }[sort];
    for (let j = 0; j < index.density.length; ++j) {
      if (!tests.every((test) => test(j))) continue;
      const code = codeOf(number, j);
      rows.push(code);
      if (key) keys.set(code, key(j) ?? null);
    }
  }
  if (keys.size) {
    const sign = up ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;  // unknown comes last
      return sign * (x - y) || a - b;
    });
  } else if (up) {
    rows.reverse();
  }
  return rows;
}
