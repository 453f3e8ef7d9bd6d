import { useState } from 'preact/hooks';
import { Family } from '../family.jsx';
import { count, fixed, percent, shareInterval } from '../format.js';
import { Controls, Nulls } from '../nulls.jsx';
import { featureHref, href, modelHref } from '../router.js';
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
          the other {count(r.measurable - r.into_any)} disappear.
        </li>
      ))}
      {flow.merges.map((m) => (
        <li>
          <b>{count(m.traced)}</b> of the {count(m.measurable)} measurable features of {m.model} can be
          traced back to {list(m.parents.map((p) => p.parent), 'or')}: {count(m.from_base)} of them further
          to {list(m.bases, 'or')}, while {count(m.emerged_in_fine_tuning)} emerged in fine-tuning.{' '}
          {count(m.emerged_at_merge)} emerged at the merge itself.
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
        Partners are chosen on half of the documents and r is measured on the other half, so that the best of
        many is not paid for by chance. In brackets the 95% interval over documents.
      </p>
      <div class="scroll">
        <table>
          <thead><tr><th>edge</th><th>persist, of the parent</th><th>persist, of the child</th></tr></thead>
          <tbody>
            {edges.map((e) => (
              <tr>
                <th scope="row">{e.parent} → {e.child}</th>
                <td>{shareInterval(e.cross_fit?.a)}</td><td>{shareInterval(e.cross_fit?.b)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Edges({ edges, links = true }) {
  const Number = ({ model, cls, n }) => (
    links ? <a href={modelHref(model, { class: cls })}>{count(n)}</a> : count(n));
  const nulls = edges.some((e) => e.permuted !== null && e.permuted !== undefined);
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>
            <th rowspan="2">edge</th><th colspan="3" class="group">of the parent</th>
            <th colspan="3" class="group">of the child</th><th rowspan="2">one-to-one<br />pairs</th>
            {nulls && <th rowspan="2">with rows<br />permuted</th>}
          </tr>
          <tr><th>persist</th><th>share</th><th>disappear</th><th>persist</th><th>share</th><th>emerge</th></tr>
        </thead>
        <tbody>
          {edges.map((e) => (
            <tr>
              <th scope="row">{e.parent} → {e.child}</th>
              <td><Number model={e.parent} cls={`persisting:${e.child}`} n={e.persisting_parent} /></td>
              <td>{percent(e.persisting_parent / e.measurable_parent)}</td>
              <td><Number model={e.parent} cls={`disappearing:${e.child}`} n={e.disappearing} /></td>
              <td><Number model={e.child} cls={`persisting:${e.parent}`} n={e.persisting_child} /></td>
              <td>{percent(e.persisting_child / e.measurable_child)}</td>
              <td><Number model={e.child} cls={`emerging:${e.parent}`} n={e.emerging} /></td>
              <td>{count(e.one_to_one)}</td>
              {nulls && <td>{count(e.permuted)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Overview({ overview }) {
  const { models, flow } = overview;
  const [toScale, setToScale] = useState(false);
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
            match several, so the two ends of a ribbon have different counts.
          </p>
          <p class="switch" role="group" aria-label="Scale of the diagram">
            <button type="button" aria-pressed={!toScale} onClick={() => setToScale(false)}>persisting features</button>
            <button type="button" aria-pressed={toScale} onClick={() => setToScale(true)}>all measurable features</button>
          </p>
          <Flow models={models} edges={flow.family} toScale={toScale} />
          <Sentences flow={flow} />
          <Edges edges={flow.family} />
          <p class="muted">
            Shares are of the measurable features, those active on at least {count(flow.min_tokens)} tokens
            in at least {count(flow.min_documents)} documents of that text; rarer ones are counted apart.
            {' '}One-to-one pairs are a maximum-weight matching.
          </p>
          <Controls edges={flow.controls} />
          <CrossFits edges={flow.family} />
          <CeilingsAndVerdicts edges={flow.family} />
          <Nulls edges={flow.family} />
          <ShareCurves models={models} edges={flow.family} threshold={flow.threshold} />
          <Chains flow={flow} />
          <Thresholds edges={flow.family} />
          {flow.intersection.length > 0 && (
            <details>
              <summary>On the text of the corpora that both ends have seen</summary>
              <Edges edges={flow.intersection} links={false} />
            </details>
          )}
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
  const at = [...new Set(edges.flatMap((e) => e.thresholds.map((t) => t.threshold)))].sort((a, b) => a - b);
  return (
    <details>
      <summary>At other thresholds</summary>
      <p class="muted">Persisting features of the parent / of the child / one-to-one pairs.</p>
      <div class="scroll">
        <table>
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
        </table>
      </div>
    </details>
  );
}

/** What stands in no numerator and no denominator above, and the count without that care. */
function Rare({ edges }) {
  return (
    <details>
      <summary>Features that could not be measured, and shares of all features</summary>
      <div class="scroll">
        <table>
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
        </table>
      </div>
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
      <div class="scroll">
        <table>
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
        </table>
      </div>
      {paths.filter((p) => p.listed.length).map((p) => (
        <details>
          <summary>The strongest chains of {p.models.join(' → ')}</summary>
          <div class="scroll">
            <table>
              <thead><tr>{p.models.map((m) => <th class="text">{m}</th>)}<th>weakest link</th><th>ends</th></tr></thead>
              <tbody>
                {p.listed.map((chain) => (
                  <tr>
                    {chain.features.map((j, i) => <td class="text"><a href={featureHref(p.models[i], j)}>#{j}</a></td>)}
                    <td>{fixed(chain.weakest_link, 3)}</td><td>{chain.direct === null ? 'below the floor' : fixed(chain.direct, 3)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </details>
      ))}
    </>
  );
}
