import { edgeAt, thresholdAt, thresholdsOf } from '../edges.js';
import { Table } from '../exports.jsx';
import { Family } from '../family.jsx';
import { count, fixed, percent, shareInterval } from '../format.js';
import { Controls, Nulls } from '../nulls.jsx';
import { changeQuery, featureHref, href, modelHref } from '../router.js';
import { Flow } from '../sankey.jsx';
import { CeilingsAndVerdicts, ShareCurves } from '../verdicts.jsx';
import { Scores } from './training.jsx';

const list = (names, word = 'and') => (names.length < 2 ? names.join('')
  : `${names.slice(0, -1).join(', ')} ${word} ${names[names.length - 1]}`);

/** The numbers of the paper's Figure 2, as its Section 4.1 says them. */
function Sentences({ flow }) {
  return (
    <ul class="sentences">
      {flow.roots.filter((r) => r.fine_tunes.length).map((r) => (
        <li>
          Of the {count(r.measurable)} measurable features of {r.root}, <b>{count(r.into_any)}</b>{' '}
          ({percent(r.into_any / r.measurable)}) persist into {r.fine_tunes.length > 1
            ? `at least one of ${list(r.fine_tunes)}, ${count(r.into_all)} of them into ${r.fine_tunes.length === 2 ? 'both' : 'all'}`
            : r.fine_tunes[0]};
          the other {count(r.measurable - r.into_any)} have no match there.
        </li>
      ))}
      {flow.merges.map((m) => (
        <li>
          <b>{count(m.traced)}</b> of the {count(m.measurable)} measurable features of {m.model} can be
          traced back to {list(m.parents.map((p) => p.parent), 'or')}: {count(m.from_base)} of them further
          to {list(m.bases, 'or')}, while {count(m.emerged_in_fine_tuning)} have no match there (the paper's
          "emerged in fine-tuning"). {count(m.emerged_at_merge)} have none in either parent.
        </li>
      ))}
    </ul>
  );
}

function CrossFits({ edges }) {
  if (!edges.some((e) => e.cross_fit)) return null;
  return (
    <>
      <h3>Cross-fitted shares</h3>
      <p>
        Partners are chosen on half of the documents and r is measured on the other half, so that
        no partner looks good merely on the text that chose it. In brackets the 95% interval over documents.
      </p>
      <Table>
        <thead><tr><th>edge</th><th>persist, of the parent</th><th>persist, of the child</th></tr></thead>
        <tbody>
          {edges.map((e) => (
            <tr>
              <th scope="row">{e.parent} → {e.child}</th>
              <td>{shareInterval(e.cross_fit?.a)}</td><td>{shareInterval(e.cross_fit?.b)}</td>
            </tr>
          ))}
        </tbody>
        </Table>
    </>
  );
}

/** query: of the addresses of lists; null: there are none. */
function Edges({ edges, query }) {
  const ceilings = edges.some((e) => Number.isFinite(e.ceiling_parent) || Number.isFinite(e.ceiling_child));
  const share = (e, side) => (
    <td>
      {percent(e[`persisting_${side}`] / e[`measurable_${side}`])}
      {ceilings && <div class="muted">{Number.isFinite(e[`ceiling_${side}`]) ? `of ${percent(e[`ceiling_${side}`] / e[`measurable_${side}`])}` : '–'}</div>}
    </td>
  );
  const Linked = ({ model, cls, n }) => (
    query ? <a href={modelHref(model, { class: cls, ...query })}>{count(n)}</a> : count(n));
  const nulls = edges.some((e) => e.permuted !== null && e.permuted !== undefined);
  return (
    <Table>
      <thead>
        <tr>
          <th rowspan="2">edge</th><th colspan="3" class="group">of the parent</th>
          <th colspan="3" class="group">of the child</th><th rowspan="2">one-to-one<br />pairs</th>
          {nulls && <th rowspan="2">with rows<br />shifted</th>}
        </tr>
        <tr><th>persist</th><th>share</th><th>disappear</th><th>persist</th><th>share</th><th>emerge</th></tr>
      </thead>
      <tbody>
        {edges.map((e) => (
          <tr>
            <th scope="row">{e.parent} → {e.child}</th>
            <td><Linked model={e.parent} cls={`persisting:${e.child}`} n={e.persisting_parent} /></td>
            {share(e, 'parent')}
            <td><Linked model={e.parent} cls={`disappearing:${e.child}`} n={e.disappearing} /></td>
            <td><Linked model={e.child} cls={`persisting:${e.parent}`} n={e.persisting_child} /></td>
            {share(e, 'child')}
            <td><Linked model={e.child} cls={`emerging:${e.parent}`} n={e.emerging} /></td>
            <td>{count(e.one_to_one)}</td>
            {nulls && <td>{count(e.permuted)}</td>}
          </tr>
        ))}
      </tbody>
      </Table>
  );
}

/** A threshold as it stands in addresses. */
const addressed = (tau) => String(Number(tau.toFixed(4)));

function Switch({ label, name, options, value, change }) {
  return (
    <div>
      <span class="muted" id={`switch-${name}`}>{label}</span>
      <div class="switch" role="group" aria-labelledby={`switch-${name}`}>
        {options.map(([key, text]) => (
          <button type="button" aria-pressed={value === key} onClick={() => change({ [name]: key })}>{text}</button>
        ))}
      </div>
    </div>
  );
}

/** The diagram and its table at any threshold that was counted. Its state is the address. */
function FlowAtThreshold({ models, flow, route }) {
  const at = thresholdsOf(flow.family);
  const own = Math.max(0, at.findIndex((t) => Math.abs(t - flow.threshold) < 1e-9));
  const tau = thresholdAt(flow, route.query.get('tau'));
  const index = tau === null ? own : at.indexOf(tau);
  const oneToOne = route.query.get('rule') === 'one-to-one';
  const shared = route.query.get('text') === 'intersection' && flow.intersection.length > 0;
  const toScale = route.query.get('scale') === 'all';
  const change = (changes) => changeQuery({ ...route, page: 'overview' }, changes);
  const edges = (shared ? flow.intersection : flow.family).map((e) => edgeAt(e, at[index], oneToOne));
  const listed = !oneToOne && !shared;
  const query = { tau: tau === null ? '' : addressed(tau) };
  return (
    <>
      <div class="controls">
        {at.length > 1 && (
          <label class="slider">
            <span>a match is r of at least <b>{fixed(at[index], 2)}</b>{index === own ? ' (this study\'s τ)' : ''}</span>
            <input type="range" min="0" max={at.length - 1} step="1" value={index} list="thresholds"
              aria-valuetext={`${fixed(at[index], 2)}${index === own ? ', this study\'s threshold' : ''}`}
              onInput={(e) => {
                const i = Number(e.currentTarget.value);
                change({ tau: i === own ? '' : addressed(at[i]) });
              }} />
            <datalist id="thresholds"><option value={own} /></datalist>
          </label>
        )}
        <Switch change={change} label="count" name="rule" value={oneToOne ? 'one-to-one' : ''}
          options={[['', 'any match'], ['one-to-one', 'one-to-one']]} />
        {flow.intersection.length > 0 && (
          <Switch change={change} label="on text of" name="text" value={shared ? 'intersection' : ''}
            options={[['', 'the family'], ['intersection', 'both ends']]} />
        )}
        <Switch change={change} label="to the scale of" name="scale" value={toScale ? 'all' : ''}
          options={[['', 'persisting features'], ['all', 'all measurable']]} />
      </div>
      <Flow models={models} edges={edges} toScale={toScale} query={listed ? query : {}}
        title={`Features that persist along each edge at ${fixed(at[index] ?? flow.threshold, 2)}${oneToOne ? ', one-to-one' : ''}${shared ? ', on the text of both ends' : ''}`} />
      <Edges edges={edges} query={listed ? query : null} />
      <p class="muted" role="status">
        {listed ? 'Click a ribbon or a count for its features.'
          : `Lists of features are kept for any match on all of the text: a ribbon opens that list at τ = ${fixed(flow.threshold, 2)}.`}
        {edges.some((e) => Number.isFinite(e.ceiling_parent)) && ' Below a share stands its ceiling: what a second autoencoder of the same model reaches.'}
        {edges.some((e) => Number.isFinite(e.chance_parent)) && ' Chance: matches that are left when the text of one model is shifted against the other\'s.'}
      </p>
    </>
  );
}

export function Overview({ overview, route }) {
  const { models, flow } = overview;
  return (
    <>
      <h1>{overview.study}</h1>
      <p class="muted">
        What happens to the features of a language model when it is fine-tuned, and when fine-tunes
        are merged.
      </p>
      {overview.warnings.length > 0 && (
        <ul class="warning" aria-label="Warnings">{overview.warnings.map((text) => <li>{text}</li>)}</ul>
      )}
      <section>
        <h2>The family</h2>
        <Family models={models} />
      </section>
      {flow && (
        <section>
          <h2>The flow of features</h2>
          <p>
            A feature <b>persists</b> along an edge if some feature of the other model correlates with it
            at {fixed(flow.threshold, 2)} or more over the same {count(flow.rows)} tokens of held-out text.
            Otherwise it <b>disappears</b> (the parent's) or <b>emerges</b> (the child's). One feature may
            match several, so the two ends of a ribbon have different counts. The words are the paper's, for
            features without a match: another autoencoder of the same model may not find them either.
          </p>
          <FlowAtThreshold models={models} flow={flow} route={route} />
          <p class="muted">
            Shares are of the measurable features, those active on at least {count(flow.min_tokens)} tokens
            in at least {count(flow.min_documents)} documents of that text; rarer ones are counted apart.
            {' '}One-to-one pairs are a maximum-weight matching.
          </p>
          <h3>What persists at τ = {fixed(flow.threshold, 2)}</h3>
          <Sentences flow={flow} />
          <Controls edges={flow.controls} />
          <CrossFits edges={flow.family} />
          <CeilingsAndVerdicts edges={flow.family} />
          <Nulls edges={flow.family} />
          <ShareCurves models={models} edges={flow.family} threshold={flow.threshold} />
          <Chains flow={flow} />
          <Thresholds edges={flow.family} />
          <Rare edges={flow.family} />
        </section>
      )}
      {models.some((m) => m.evaluation) && (
        <section>
          <h2>What the models can do</h2>
          <p class="muted">
            Next-token accuracy and loss (nats per token) on held-out text.{' '}
            {overview.sweeps.length > 0 && <a href={href('merge')}>How the merge was chosen</a>}
          </p>
          <Scores models={models} />
        </section>
      )}
    </>
  );
}

/** The same counts at every threshold, folded away. */
function Thresholds({ edges }) {
  const at = thresholdsOf(edges);
  return (
    <details>
      <summary>At other thresholds</summary>
      <p class="muted">Persisting features of the parent / of the child / one-to-one pairs.</p>
      <Table>
        <thead><tr><th>r at least</th>{edges.map((e) => <th>{e.parent} → {e.child}</th>)}</tr></thead>
        <tbody>
          {at.map((threshold) => (
            <tr>
              <th scope="row">{fixed(threshold, 2)}</th>
              {edges.map((e) => {
                const t = e.thresholds.find((row) => row.threshold === threshold);
                return <td class={t?.own ? 'best' : ''}>{count(t?.persisting_parent)} / {count(t?.persisting_child)} / {count(t?.one_to_one)}</td>;
              })}
            </tr>
          ))}
        </tbody>
        </Table>
    </details>
  );
}

/** What stands in no numerator and no denominator above, and the count without that care. */
function Rare({ edges }) {
  return (
    <details>
      <summary>Features that could not be measured, and shares of all features</summary>
      <Table>
        <thead>
          <tr><th rowspan="2">edge</th><th colspan="4" class="group">of the parent</th><th colspan="4" class="group">of the child</th></tr>
          <tr>{[0, 1].map(() => <><th>silent</th><th>too rare</th><th>persist,<br />rare ones too</th><th>share of all</th></>)}</tr>
        </thead>
        <tbody>
          {edges.map((e) => {
            const own = e.thresholds.find((t) => t.own);
            return (
              <tr>
                <th scope="row">{e.parent} → {e.child}</th>
                <td>{count(e.rare_parent[0])}</td><td>{count(e.rare_parent[1])}</td>
                <td>{count(own?.all_parent)}</td><td>{percent(own?.all_parent / e.features_parent)}</td>
                <td>{count(e.rare_child[0])}</td><td>{count(e.rare_child[1])}</td>
                <td>{count(own?.all_child)}</td><td>{percent(own?.all_child / e.features_child)}</td>
              </tr>
            );
          })}
        </tbody>
        </Table>
    </details>
  );
}

function Chains({ flow }) {
  const paths = flow.paths.filter((p) => p.models.length > 2);
  if (!paths.length) return null;
  return (
    <>
      <h3>Paths</h3>
      <p>
        A chain is one feature of each model along a path, each link a match. Two links at 0.8
        promise only 0.28 from end to end, so the direct correlation of the ends is counted too.
      </p>
      <Table>
        <thead>
          <tr><th>path</th><th>features of each model on it</th><th>chains</th><th>ends match too</th><th>every pair matches</th></tr>
        </thead>
        <tbody>
          {paths.map((p) => (
            <tr>
              <th scope="row">{p.models.join(' → ')}</th><td>{p.distinct.map(count).join(' → ')}</td>
              <td>{count(p.chains)}</td><td>{count(p.direct)}</td><td>{count(p.every_pair)}</td>
            </tr>
          ))}
        </tbody>
        </Table>
      {paths.filter((p) => p.listed.length).map((p) => (
        <details>
          <summary>The strongest chains of {p.models.join(' → ')}</summary>
          <Table>
            <thead><tr>{p.models.map((m) => <th class="text">{m}</th>)}<th>weakest link</th><th>ends</th></tr></thead>
            <tbody>
              {p.listed.map((chain) => (
                <tr>
                  {chain.features.map((j, i) => <td class="text"><a href={featureHref(p.models[i], j)}>#{j}</a></td>)}
                  <td>{fixed(chain.weakest_link, 3)}</td><td>{chain.direct === null ? 'below the floor' : fixed(chain.direct, 3)}</td>
                </tr>
              ))}
            </tbody>
            </Table>
        </details>
      ))}
    </>
  );
}
