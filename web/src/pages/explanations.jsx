import { Histogram } from '../chart.jsx';
import { Table } from '../exports.jsx';
import { color, count, fixed, percent } from '../format.js';
import { explanationsOf, useChunks } from '../payload.js';
import { modelHref } from '../router.js';
import { edgesOf, kClasses } from '../select.js';

function Summary({ models }) {
  const row = (label, s, kind) => (
    <tr class={kind}>
      <th scope="row">{label}</th><td>{count(s.explained)}</td><td>{count(s.skipped)}</td><td>{fixed(s.median_score)}</td>
      <td>{fixed(s.median_token_score)}</td><td>{fixed(s.median_ratio)}</td><td>{percent(s.share_at_half)}</td>
    </tr>
  );
  return (
    <Table>
      <caption>How well explanations predict features, and what they reach where there is less to explain.</caption>
      <thead>
        <tr>
          <th scope="col">features of</th><th scope="col">explained</th><th scope="col">skipped</th><th scope="col">median score</th>
          <th scope="col">token identity<br />alone, median</th><th scope="col">ratio of the<br />two, median</th><th scope="col">score of 0.5<br />or more</th>
        </tr>
      </thead>
      {models.map((m) => (
        <tbody>
          {row(m.name, m.explanations.summary, 'own')}
          {m.explanations.references.map((r) => row(<span class="muted">{r.name}, for comparison</span>, r))}
        </tbody>
      ))}
    </Table>
  );
}

const kBins = 20;
const kEdges = Array.from({ length: kBins + 1 }, (_, i) => (2 * i) / kBins - 1);

/** Shares of the scores in the bins of [-1, 1]. */
function shares(scores) {
  const counts = new Array(kBins).fill(0);
  for (const s of scores) ++counts[Math.min(kBins - 1, Math.max(0, Math.floor(((s + 1) / 2) * kBins)))];
  return counts.map((n) => (scores.length ? n / scores.length : 0));
}

/** The paper's Figure 6, of one end of an edge. */
function Scores({ model, edge, said, tint }) {
  const persisting = [], others = [];
  for (const [j, e] of said) {
    if (!Number.isFinite(e.score)) continue;
    const name = kClasses[edge.classes[j]];
    if (name === 'persisting') persisting.push(e.score);
    else if (name === 'disappearing' || name === 'emerging') others.push(e.score);
  }
  if (!persisting.length && !others.length) return null;
  const first = [...persisting, ...others].some((s) => s < 0) ? 0 : kBins / 2;
  const name = edge.up ? 'emerging' : 'disappearing';
  return (
    <div>
      <h3>{model.name}, {edge.up ? `from ${edge.other}` : `into ${edge.other}`}</h3>
      <Histogram edges={kEdges.slice(first)} counts={shares(persisting).slice(first)} color={tint} name={`persisting (${count(persisting.length)})`}
        second={{ name: `${name} (${count(others.length)})`, counts: shares(others).slice(first), color: color(1) === tint ? color(0) : color(1) }}
        title={`Scores of explanations of ${model.name}, persisting and ${name} on the edge with ${edge.other}`}
        xLabel="score of the explanation" yLabel="share" xFormat={(v) => fixed(v, 1)} yFormat={(v, fine) => percent(v, fine ? 1 : 0)} height={220} />
    </div>
  );
}

function Histograms({ overview, models }) {
  const numbers = models.flatMap((m) => [m.index, m.texts]);
  const data = useChunks(numbers);
  if (!data) return <p class="muted">Decoding…</p>;
  const drawn = models.flatMap((model, i) => edgesOf(model, data[2 * i]).map((edge) => ({
    model, edge, said: explanationsOf(data[2 * i + 1]), tint: color(overview.models.indexOf(model)) })));
  if (!drawn.length) return null;
  return (
    <section>
      <h2>Scores of features that persist and of those that do not</h2>
      <p class="muted">
        Share of the explained features of a class in each bin. A score is the correlation of what the explanation predicts with
        what the feature does, on text that had no part in finding it.
      </p>
      <div class="small-multiples">{drawn.map((props) => <Scores {...props} />)}</div>
    </section>
  );
}

const kGroupColors = ['#0072b2', '#d55e00', '#009e73', '#b0568f', '#e0b040', '#3d8fc4', '#8a8a8a'];

/** Shares by group, a row for each name. rows: [[label, {group: share}, link or null]]. */
function Groups({ title, rows, of, caption }) {
  const groups = [...new Set(rows.flatMap(([, shares_]) => Object.keys(shares_)))];
  const tint = (g) => kGroupColors[groups.indexOf(g) % kGroupColors.length];
  return (
    <section>
      <h2>{title}</h2>
      <Table>
        <caption>{caption}</caption>
        <thead>
          <tr>
            <th scope="col">{of}</th><th scope="col" aria-label="as a bar" />
            {groups.map((g) => (
              <th scope="col"><svg width="10" height="10" class="key" aria-hidden="true"><rect width="10" height="10" fill={tint(g)} /></svg>{g}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(([label, by, link]) => {
            let x = 0;
            return (
              <tr>
                <th scope="row">{label}</th>
                <td class="fill">
                  <svg class="verdicts" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                    {groups.map((g) => {
                      const from = x;
                      x += 100 * (by[g] ?? 0);
                      return <rect x={from} width={100 * (by[g] ?? 0)} height="10" fill={tint(g)} />;
                    })}
                  </svg>
                </td>
                {groups.map((g) => <td>{link && by[g] ? <a href={link(g)}>{percent(by[g])}</a> : percent(by[g])}</td>)}
              </tr>
            );
          })}
        </tbody>
      </Table>
    </section>
  );
}

export function Explanations({ overview }) {
  const models = overview.models.filter((m) => m.explanations?.summary && m.index !== null);
  const named = (key) => models.flatMap((m) => Object.entries(m.explanations[key] ?? {}).map(([name, shares_]) => (
    [models.length > 1 ? `${m.name}: ${name}` : name, shares_, null])));
  const paths = named('path_groups'), corpora = named('corpus_groups');
  return (
    <>
      <h1>Explanations</h1>
      <p>
        Each explanation is a rule that was searched for, and is scored by how well it predicts the feature on other
        text. <b>Token identity alone</b> predicts from the current token and nothing else: an explanation that scores
        no better predicts no more than a table of means by token does.
      </p>
      {models.length > 0 && (
        <>
          <section>
            <h2>How well features are explained</h2>
            <Summary models={models} />
            <p class="muted">Skipped: active on fewer than {count(models[0].explanations.threshold_tokens)} tokens of a half of the documents.</p>
          </section>
          <Histograms overview={overview} models={models} />
          <Groups title="What features are about" of="model" caption="Share of a model's measurable features by group; a share opens the explained ones among them."
            rows={models.map((m) => [m.name, m.explanations.groups, (group) => modelHref(m.name, { group })])} />
          {paths.length > 0 && <Groups title="By path" of="path" caption="Share of the features on each path by group." rows={paths} />}
          {corpora.length > 0 && <Groups title="By corpus" of="corpus" caption="Share of the activation on each corpus by group: every measurable feature counts as much as it is active there." rows={corpora} />}
        </>
      )}
    </>
  );
}
