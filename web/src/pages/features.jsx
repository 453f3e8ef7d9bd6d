import { useEffect, useMemo, useState } from 'preact/hooks';
import { color, count, density, fixed, plural } from '../format.js';
import { useChunks } from '../payload.js';
import { featureHref, href, modelHref } from '../router.js';
import { Token } from '../token_text.jsx';

const kPageSize = 50;
export const kClasses = {
  p: 'persisting', d: 'disappearing', e: 'emerging', u: 'unmeasurable', x: 'dead',
};

/** A model's edges, seen from it: [{other, up: the other is the parent, classes}]. */
export function edgesOf(model, index) {
  return index.edges.map((edge) => ({
    ...edge, other: edge.parent === model.name ? edge.child : edge.parent, up: edge.child === model.name,
  }));
}

export function ModelTabs({ overview, current, query }) {
  return (
    <nav class="tabs" aria-label="Models">
      {overview.models.filter((m) => m.index !== null).map((m) => (
        <a href={modelHref(m.name, query)} aria-current={m.name === current ? 'page' : undefined}>{m.name}</a>
      ))}
    </nav>
  );
}

/** The numbers of the features that pass the filters, in the order asked for. */
function select({ index, edges, vocabulary, classFilter, sort, up, text }) {
  const size = index.density.length;
  let test = () => true;
  const [wanted, other] = classFilter.split(/:(.*)/s);
  const edge = edges.find((e) => e.other === other);
  if (edge) test = (j) => kClasses[edge.classes[j]] === wanted;
  else if (wanted === 'measurable') test = (j) => index.measurable[j] === '1';
  else if (wanted === 'unmeasurable') test = (j) => index.measurable[j] === '0' && index.density[j] > 0;
  else if (wanted === 'dead') test = (j) => !index.density[j];
  const needle = text.toLowerCase();
  const holds = new Map();  // token id → whether it contains the text
  const found = (j) => index.tokens[j].some((id) => {
    if (!holds.has(id)) holds.set(id, (vocabulary[id] ?? '').toLowerCase().includes(needle));
    return holds.get(id);
  });
  const rows = [];
  for (let j = 0; j < size; ++j) if (test(j) && (!needle || found(j))) rows.push(j);
  if (sort !== 'number') {
    const key = index[sort] ?? index.max;
    rows.sort((a, b) => key[b] - key[a] || a - b);
  }
  if (up) rows.reverse();
  return rows;
}

function Head({ label, name, sort, up, go }) {
  const on = sort === name;
  return (
    <th aria-sort={on ? ((up !== (name === 'number')) ? 'ascending' : 'descending') : undefined}>
      <button type="button" class="sort" onClick={() => go({ sort: name, up: on && !up ? '1' : '', page: '' })}>
        {label}{on ? (up !== (name === 'number') ? ' ▴' : ' ▾') : ''}
      </button>
    </th>
  );
}

function List({ overview, model, query }) {
  const data = useChunks([model.index, overview.vocabulary]);
  const classFilter = query.get('class') ?? 'measurable';
  const sort = query.get('sort') ?? 'max';
  const up = query.get('up') === '1';
  const text = query.get('token') ?? '';
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  const go = (changes) => {
    location.hash = href('features', [model.name], { ...Object.fromEntries(query), ...changes });
  };
  const edges = useMemo(() => (data ? edgesOf(model, data[0]) : []), [data]);
  const rows = useMemo(
    () => (data ? select({ index: data[0], edges, vocabulary: data[1], classFilter, sort, up, text }) : []),
    [data, classFilter, sort, up, text]);
  if (!data) return <p class="muted">Decoding…</p>;
  const [index, vocabulary] = data;
  const pages = Math.max(1, Math.ceil(rows.length / kPageSize));
  const page = Math.min(pages, Math.max(1, Number(query.get('page')) || 1));
  const pager = (
    <div class="pager">
      <button type="button" disabled={page === 1} onClick={() => go({ page: page - 1 })}>Previous</button>
      <span>{plural(rows.length, 'feature')}, page {page} of {count(pages)}</span>
      <button type="button" disabled={page === pages} onClick={() => go({ page: page + 1 })}>Next</button>
    </div>
  );
  return (
    <>
      <div class="controls">
        <label>
          Class
          <select value={classFilter} onChange={(e) => go({ class: e.currentTarget.value, page: '' })}>
            <option value="measurable">all measurable</option>
            {edges.map((e) => (
              <>
                <option value={`persisting:${e.other}`}>{e.up ? `persisting from ${e.other}` : `persisting into ${e.other}`}</option>
                <option value={`${e.up ? 'emerging' : 'disappearing'}:${e.other}`}>
                  {e.up ? `emerging: no match in ${e.other}` : `disappearing: no match in ${e.other}`}
                </option>
              </>
            ))}
            <option value="unmeasurable">too rare to measure</option>
            <option value="dead">silent on the matching text</option>
            <option value="all">all</option>
          </select>
        </label>
        <form onSubmit={(e) => { e.preventDefault(); go({ token: typed, page: '' }); }}>
          <label>
            A top token contains
            <input type="search" value={typed} placeholder="for example ="
              onInput={(e) => setTyped(e.currentTarget.value)}
              onChange={(e) => go({ token: e.currentTarget.value, page: '' })} />
          </label>
        </form>
        <form onSubmit={(e) => {
          e.preventDefault();
          const number = Number(new FormData(e.currentTarget).get('number'));
          if (Number.isInteger(number) && number >= 0 && number < model.feature_count) location.hash = featureHref(model.name, number);
        }}>
          <label>
            Go to feature
            <input name="number" type="number" min="0" max={model.feature_count - 1} placeholder={`0 – ${model.feature_count - 1}`} />
          </label>
        </form>
      </div>
      {pager}
      <div class="scroll">
        <table class="features">
          <thead>
            <tr>
              <Head label="feature" name="number" {...{ sort, up, go }} />
              <th class="text">top tokens</th>
              <Head label="maximum" name="max" {...{ sort, up, go }} />
              <Head label="density" name="density" {...{ sort, up, go }} />
              <Head label="documents" name="documents" {...{ sort, up, go }} />
              {edges.map((e) => <th class="text">{e.up ? `from ${e.other}` : `into ${e.other}`}</th>)}
            </tr>
          </thead>
          <tbody>
            {rows.slice((page - 1) * kPageSize, page * kPageSize).map((j) => (
              <tr key={j}>
                <th scope="row"><a href={featureHref(model.name, j)}>#{j}</a></th>
                <td class="text">{index.tokens[j].map((id) => <><Token text={vocabulary[id]} /> </>)}</td>
                <td>{index.density[j] ? fixed(index.max[j], 2) : '–'}</td>
                <td>{density(index.density[j])}</td>
                <td>{index.documents.length ? count(index.documents[j]) : '–'}</td>
                {edges.map((e) => <td class="text"><Class code={e.classes[j]} /></td>)}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length > kPageSize && pager}
    </>
  );
}

export function Class({ code }) {
  const name = kClasses[code] ?? 'unknown';
  return <span class={`class ${name}`}>{name}</span>;
}

export function Features({ overview, route }) {
  const models = overview.models.filter((m) => m.index !== null);
  const model = route.parts[0] ? models.find((m) => m.name === route.parts[0]) : models[0];
  return (
    <>
      <h1>Features</h1>
      <ModelTabs overview={overview} current={model?.name} />
      {model ? <List key={model.name} overview={overview} model={model} query={route.query} />
        : <p>No model “{route.parts[0]}” with an autoencoder is in this report.</p>}
    </>
  );
}
