import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { csv, download, fileName } from '../download.js';
import { color, count, density, fixed, plural } from '../format.js';
import { explanationsOf, useChunks } from '../payload.js';
import { changeQuery, featureHref, href, modelHref } from '../router.js';
import { thresholdAt, thresholdsOf } from '../edges.js';
import { bestOf, edgesOf, featureOf, kClasses, kOrigins, modelOf, select } from '../select.js';
import { Token } from '../token_text.jsx';
import { VirtualTable } from '../virtual.jsx';

const kRowHeight = 54;  // as in style.css

export function ModelTabs({ overview, current, all }) {
  const models = overview.models.filter((m) => m.index !== null);
  return (
    <nav class="tabs" aria-label="Models">
      {models.map((m) => (
        <a href={modelHref(m.name)} aria-current={m.name === current ? 'page' : undefined}>{m.name}</a>
      ))}
      {models.length > 1 && <a href={href('features', [], { all: 1 })} aria-current={all ? 'page' : undefined}>all models</a>}
    </nav>
  );
}

function Head({ label, name, sort, up, change }) {
  const on = sort === name;
  return (
    <th scope="col" aria-sort={on ? (up !== (name === 'number') ? 'ascending' : 'descending') : undefined}>
      <button type="button" class="sort" onClick={() => change({ sort: name, up: on && !up ? '1' : '' })}>
        {label}{on ? (up !== (name === 'number') ? ' ▴' : ' ▾') : ''}
      </button>
    </th>
  );
}

/** Options of the class filter: of one model by edge, of all models by class alone. */
function ClassOptions({ models }) {
  return (
    <>
      <option value="measurable">all measurable</option>
      {models.length > 1 ? ['persisting', 'disappearing', 'emerging'].map((name) => (
        <option value={name}>{name} on some edge</option>
      )) : models[0].edges.map((e) => (
        <>
          <option value={`persisting:${e.other}`}>{e.up ? `persisting from ${e.other}` : `persisting into ${e.other}`}</option>
          <option value={`${e.up ? 'emerging' : 'disappearing'}:${e.other}`}>
            {e.up ? `emerging: no match in ${e.other}` : `disappearing: no match in ${e.other}`}
          </option>
        </>
      ))}
      <option value="unmeasurable">too rare to measure</option>
      <option value="silent">silent on the matching text</option>
      <option value="all">all</option>
    </>
  );
}

/** A field that changes the address once the reader stops typing. */
function Field({ label, value, change, ...rest }) {
  const [typed, setTyped] = useState(value);
  const timer = useRef(null);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const now = (text) => { clearTimeout(timer.current); if (text !== value) change(text); };
  return (
    <form onSubmit={(e) => { e.preventDefault(); now(typed); }}>
      <label>
        {label}
        <input {...rest} value={typed} onInput={(e) => {
          const text = e.currentTarget.value;
          setTyped(text);
          clearTimeout(timer.current);
          timer.current = setTimeout(() => now(text), 200);
        }} onBlur={(e) => now(e.currentTarget.value)} />
      </label>
    </form>
  );
}

function Controls({ overview, models, filters, change, explained }) {
  const one = models.length === 1 ? models[0] : null;
  const paths = overview.flow?.paths ?? [];
  const on = [...new Set(models.flatMap((m) => m.index.paths.map(([number]) => number)))].sort((a, b) => a - b);
  const origins = models.some((m) => m.index.origins);
  const groups = [...new Set(models.flatMap((m) => Object.keys(m.model.explanations?.groups ?? {})))];
  const others = [...new Set(models.flatMap((m) => m.index.best.map(([other]) => other)))];
  const taus = overview.flow && models.some((m) => m.index.edges.some((e) => e.reached)) ? thresholdsOf(overview.flow.family) : [];
  return (
    <div class="controls" role="search">
      <Field label={explained ? 'Explanation or top token contains' : 'A top token contains'} type="search" value={filters.text}
        placeholder="for example =" change={(q) => change({ q, token: '' })} />
      <label>
        Class
        <select value={filters.class} onChange={(e) => change({ class: e.currentTarget.value })}>
          <ClassOptions models={models} />
        </select>
      </label>
      {taus.length > 1 && (
        <label>
          a match is r from
          <select value={String(filters.tau ?? overview.flow.threshold)} onChange={(e) => (
            change({ tau: Number(e.currentTarget.value) === overview.flow.threshold ? '' : e.currentTarget.value }))}>
            {taus.map((t) => <option value={String(t)}>{fixed(t, 2)}{t === overview.flow.threshold ? ' (τ)' : ''}</option>)}
          </select>
        </label>
      )}
      {on.length > 0 && (
        <label>
          {filters.tau === null ? 'Path' : `Path, at τ = ${fixed(overview.flow.threshold, 2)}`}
          <select value={filters.path} onChange={(e) => change({ path: e.currentTarget.value })}>
            <option value="">any</option>
            {on.map((number) => <option value={String(number)}>on a chain {paths[number]?.models.join(' → ')}</option>)}
            {origins && Object.entries(kOrigins).map(([letter, text]) => <option value={`origin:${letter}`}>{text}</option>)}
          </select>
        </label>
      )}
      {groups.length > 0 && (
        <label>
          Group
          <select value={filters.group} onChange={(e) => change({ group: e.currentTarget.value })}>
            <option value="">any</option>
            {groups.map((g) => <option value={g}>{g}</option>)}
          </select>
        </label>
      )}
      {explained && <Field label="Score from" type="number" step="0.05" value={filters.least} class="small" change={(score) => change({ score })} />}
      <Field label="Density from, %" type="number" min="0" step="any" value={filters.from} class="small" change={(from) => change({ from })} />
      <Field label="to, %" type="number" min="0" step="any" value={filters.to} class="small" change={(to) => change({ to })} />
      {others.length > 0 && (
        <>
          <Field label="Best r from" type="number" step="0.05" value={filters.r} class="small" change={(r) => change({ r })} />
          <label>
            with
            <select value={filters.other === null ? '' : overview.models[filters.other].name} onChange={(e) => change({ with: e.currentTarget.value })}>
              <option value="">any model</option>
              {others.map((i) => <option value={overview.models[i].name}>{overview.models[i].name}</option>)}
            </select>
          </label>
        </>
      )}
      {one && (
        <form onSubmit={(e) => {
          e.preventDefault();
          const number = Number(new FormData(e.currentTarget).get('number'));
          if (Number.isInteger(number) && number >= 0 && number < one.model.feature_count) location.hash = featureHref(one.model.name, number);
        }}>
          <label>
            Go to feature
            <input name="number" type="number" min="0" max={one.model.feature_count - 1} placeholder={`0 – ${one.model.feature_count - 1}`} class="small" />
          </label>
        </form>
      )}
    </div>
  );
}

/** What the list holds, a feature a line, with numbers as they are. */
function saveList(rows, byNumber, vocabulary, overview, tau) {
  const lines = [['model', 'feature', 'explanation', 'score', 'token_score', 'group', 'language_model', 'top_tokens', 'maximum', 'density',
    'documents', 'best_match_model', 'best_match_feature', 'best_match_correlation', 'classes']];
  for (const code of rows) {
    const { model, index, said, edges } = byNumber.get(modelOf(code)), j = featureOf(code);
    const e = said.get(j), best = bestOf(index, j, null);
    lines.push([model.name, j, e?.text, e?.score, e?.tokenScore, e?.group, e?.words, index.tokens[j].map((id) => vocabulary[id]).join(' | '),
      index.max[j], index.density[j], index.documents[j], best && overview.models[best[0]].name, best?.[1], best?.[2],
      edges.map((edge) => `${edge.other}: ${kClasses[edge.classes[j]]}`).join('; ')]);
  }
  const name = ['features', byNumber.size === 1 ? [...byNumber.values()][0].model.name : '', tau === null ? '' : `at ${tau}`];
  download(`${fileName(name.filter(Boolean).join(' '))}.csv`, csv(lines));
}

function Row({ code, position, entry, vocabulary, overview, other, all, explained }) {
  const { model, index, said, edges } = entry, j = featureOf(code);
  const e = said.get(j), best = bestOf(index, j, other);
  return (
    <tr key={code} aria-rowindex={position + 2}>
      <th scope="row">
        {all && <span class="dot" style={{ background: color(entry.number) }} title={model.name} />}
        <a href={featureHref(model.name, j)}>{all && <span class="unseen">{model.name} </span>}#{j}</a>
      </th>
      <td class="text said">
        {(e?.text ?? e?.words) !== undefined && <div class="line" title={e.text ?? e.words}>{e.text ?? e.words}</div>}
        <div class="line">{index.tokens[j].map((id) => <><Token text={vocabulary[id]} /> </>)}</div>
      </td>
      {explained && <td>{fixed(e?.score)}{e && <div class="muted">{e.group}</div>}</td>}
      <td>{index.density[j] ? fixed(index.max[j], 2) : '–'}</td>
      <td>{density(index.density[j])}</td>
      <td>{index.documents.length ? count(index.documents[j]) : '–'}</td>
      <td>
        {best ? <a href={featureHref(overview.models[best[0]].name, best[1])} title={`${overview.models[best[0]].name} #${best[1]}`}>{fixed(best[2])}</a> : '–'}
        {best && <div class="muted line">{overview.models[best[0]].name}</div>}
      </td>
      {!all && edges.map((edge) => <td class="text"><Class code={edge.classes[j]} /></td>)}
    </tr>
  );
}

function List({ overview, models: wanted, route, all }) {
  const { query } = route;
  const tau = overview.flow && thresholdAt(overview.flow, query.get('tau'));
  const numbers = wanted.flatMap((m) => (m.texts === null ? [m.index] : [m.index, m.texts]));
  const data = useChunks([overview.vocabulary, ...numbers]);
  const models = useMemo(() => {
    if (!data) return [];
    const chunk = (number) => data[1 + numbers.indexOf(number)];
    return wanted.map((model) => ({
      model, number: overview.models.indexOf(model), index: chunk(model.index),
      edges: edgesOf(model, chunk(model.index), overview.flow, tau), said: explanationsOf(model.texts === null ? null : chunk(model.texts)),
    }));
  }, [data, tau]);
  const get = (name, otherwise = '') => query.get(name) ?? otherwise;
  const other = overview.models.findIndex((m) => m.name === query.get('with'));
  const filters = { class: get('class', 'measurable'), path: get('path'), group: get('group'), text: get('q', get('token')),
    least: get('score'), r: get('r'), from: get('from'), to: get('to'), other: other < 0 ? null : other, tau };
  const sort = get('sort', 'max'), up = query.get('up') === '1';
  const change = (changes) => changeQuery({ ...route, page: 'features' }, changes);
  const rows = useMemo(() => (data ? select(models, data[0], filters, sort, up) : []), [models, JSON.stringify(filters), sort, up]);
  if (!data) return <p class="muted">Decoding…</p>;
  const vocabulary = data[0];
  const explained = models.some((m) => m.said.size > 0);
  const byNumber = new Map(models.map((m) => [m.number, m]));
  const edges = all ? [] : models[0].edges;
  const heads = [['feature', 'number'], null, ...(explained ? [['score', 'score']] : []), ['maximum', 'max'], ['density', 'density'],
    ['documents', 'documents'], ['best r', 'r']];
  const widths = [all ? 92 : 78, 0, ...(explained ? [104] : []), 102, 84, 96, 104, ...edges.map(() => 116)];
  return (
    <>
      <Controls {...{ overview, models, filters, change, explained }} />
      <div class="pager" role="status">
        <span>{plural(rows.length, 'feature')}</span>
        {all && models.map((m) => <span><span class="dot" style={{ background: color(m.number) }} />{m.model.name}</span>)}
        <button type="button" class="save" onClick={() => saveList(rows, byNumber, vocabulary, overview, tau)}
          aria-label="Download these features as CSV">CSV</button>
      </div>
      <VirtualTable class="features" at={JSON.stringify([route.parts, [...query]])} count={rows.length} height={kRowHeight} columns={widths}
        label="Features" row={(i) => (
          <Row code={rows[i]} position={i} entry={byNumber.get(modelOf(rows[i]))} {...{ vocabulary, overview, all, explained }} other={filters.other} />
        )}
        head={(
          <thead>
            <tr aria-rowindex={1}>
              {heads.map((head) => (head ? <Head label={head[0]} name={head[1]} {...{ sort, up, change }} />
                : <th scope="col" class="text">{explained ? 'explanation, and top tokens' : 'top tokens'}</th>))}
              {edges.map((e) => <th scope="col" class="text">{e.up ? `from ${e.other}` : `into ${e.other}`}</th>)}
            </tr>
          </thead>
        )} />
    </>
  );
}

export function Class({ code }) {
  const name = kClasses[code] ?? 'unknown';
  return <span class={`class ${name}`}>{name}</span>;
}

export function Features({ overview, route }) {
  const models = overview.models.filter((m) => m.index !== null);
  const all = route.query.get('all') === '1' && !route.parts[0];
  const model = route.parts[0] ? models.find((m) => m.name === route.parts[0]) : models[0];
  return (
    <>
      <h1>Features</h1>
      <ModelTabs overview={overview} current={all ? undefined : model?.name} all={all} />
      {model ? <List key={all ? '' : model.name} overview={overview} models={all ? models : [model]} route={route} all={all} />
        : <p>No model “{route.parts[0]}” with an autoencoder is in this report.</p>}
    </>
  );
}
