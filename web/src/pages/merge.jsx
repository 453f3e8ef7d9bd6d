import { LineChart } from '../chart.jsx';
import { Table } from '../exports.jsx';
import { color, count, fixed, percent } from '../format.js';
import { Methods } from '../merge_methods.jsx';

/** How sure the balance point is, in words. */
function BalanceInterval({ interval }) {
  if (!interval) return null;
  const odd = [[interval.no_crossing, 'no'], [interval.several_crossings, 'more than one']]
    .filter(([share]) => share > 0);
  return (
    <p>
      With the documents of the half that chose it drawn anew, the balance points found lie between{' '}
      <b>{fixed(interval.low, 3)}</b> and <b>{fixed(interval.high, 3)}</b> ({percent(interval.level, 0)} interval over{' '}
      {count(interval.resamples)} resamples of {count(interval.documents_a)} and {count(interval.documents_b)} documents)
      {odd.length ? `; ${odd.map(([share, what]) => `in ${percent(share)} of them the curves have ${what} crossing`).join(', ')}` : ''}.
    </p>
  );
}

/** How alike the two parents are, tensor by tensor. */
function Tensors({ sweep }) {
  const tensors = (sweep.tensors ?? []).filter(([, cosine]) => Number.isFinite(cosine));
  if (!tensors.length) return null;
  const low = Math.min(...tensors.map(([, cosine]) => cosine));
  const from = low < 0 ? -1 : low < 0.9 ? 0 : low < 0.99 ? 0.9 : 0.99;
  const at = (cosine) => (100 * (cosine - from)) / (1 - from);
  return (
    <details open={tensors.length <= 16}>
      <summary>Cosine of the two models, tensor by tensor</summary>
      <Table name={`cosines of ${sweep.a} and ${sweep.b}`}>
        <caption>The nearer to 1, the less two weights differ in direction; bars from {from} to 1.</caption>
        <thead>
          <tr><th scope="col">tensor</th><th scope="col">cosine</th><th scope="col" aria-label="as a bar" /><th scope="col" class="text">branch</th></tr>
        </thead>
        <tbody>
          {tensors.map(([name, cosine, branch]) => (
            <tr>
              <th scope="row">{name}</th><td>{fixed(cosine, 4)}</td>
              <td class="fill">
                <svg class="verdicts" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                  <rect width={at(cosine)} y="2" height="6" class="verdict-persists" />
                </svg>
              </td>
              <td class="text">{branch}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </details>
  );
}

const bounded = (interval) => interval && Number.isFinite(interval.low) && Number.isFinite(interval.high);

function Sweep({ sweep, models }) {
  const tint = (name, fallback) => {
    const i = models.findIndex((m) => m.name === name);
    return color(i < 0 ? fallback : i);
  };
  const { a, b, base, baselines, balance, curve } = sweep;
  const chosen = balance.t;
  const rows = [[base, baselines.base], [a, baselines.a], [b, baselines.b],
    [`merged at t = ${fixed(chosen, 3)}`, balance.merged]].filter(([, scores]) => scores);
  return (
    <section>
      <h2>{sweep.name ?? `${a} + ${b}`}</h2>
      <p>
        Every point is a model whose weights are a {sweep.method} merge of <b>{a}</b> and <b>{b}</b>;{' '}
        {sweep.direction}. It is measured on the held-out text of both.
        {baselines.base && ` The dashed lines are the accuracy of ${base}, from which both were fine-tuned.`}
      </p>
      <LineChart
        title={`Accuracy along the merge of ${a} and ${b}`}
        series={[
          { name: `on ${a}'s text`, color: tint(a, 1), points: curve.map((p) => [p.t, p.accuracy_a]) },
          { name: `on ${b}'s text`, color: tint(b, 2), points: curve.map((p) => [p.t, p.accuracy_b]) },
        ]}
        rules={baselines.base ? [
          { y: baselines.base.accuracy_a, label: `${base}, ${a}'s text`, color: tint(a, 1) },
          { y: baselines.base.accuracy_b, label: `${base}, ${b}'s text`, color: tint(b, 2) },
        ] : []}
        bands={bounded(balance.interval) ? [{ from: balance.interval.low, to: balance.interval.high,
          label: `${percent(balance.interval.level, 0)} interval of the balance point` }] : []}
        marks={[{ x: chosen, label: `balance t = ${fixed(chosen, 3)}` }]}
        xLabel={`t (0 is all ${a}, 1 all ${b})`} yLabel="next-token accuracy"
        xFormat={(v) => fixed(v, 2)} yFormat={(v, fine) => percent(v, fine ? 2 : 0)}
        height={380}
      />
      {sweep.warnings.map((text) => <p class="warning">{text}</p>)}
      <Table>
        <thead>
          <tr><th>model</th><th>accuracy on {a}'s text</th><th>accuracy on {b}'s text</th><th>loss on {a}'s</th><th>loss on {b}'s</th></tr>
        </thead>
        <tbody>
          {rows.map(([name, scores]) => (
            <tr>
              <th scope="row">{name}</th>
              <td>{percent(scores.accuracy_a, 2)}</td><td>{percent(scores.accuracy_b, 2)}</td>
              <td>{fixed(scores.loss_a, 3)}</td><td>{fixed(scores.loss_b, 3)}</td>
            </tr>
          ))}
        </tbody>
        </Table>
      <p>
        The balance point was chosen on half of the documents ({percent(balance.chosen_half?.accuracy_a, 2)}{' '}
        and {percent(balance.chosen_half?.accuracy_b, 2)}). On the other half, which had no part in the
        choice, the two accuracies are {percent(balance.other_half?.accuracy_a, 2)} and{' '}
        {percent(balance.other_half?.accuracy_b, 2)}: {percent(Math.abs(balance.difference_other_half), 2)} apart.
      </p>
      <BalanceInterval interval={balance.interval} />
      <Tensors sweep={sweep} />
      {sweep.branches && (
        <p class="muted">
          Tensors by branch of the formula:{' '}
          {Object.entries(sweep.branches).map(([branch, n]) => `${branch} ${n}`).join(', ')}.
        </p>
      )}
    </section>
  );
}

export function Merge({ overview }) {
  return (
    <>
      <h1>Merging</h1>
      {overview.sweeps.map((sweep) => <Sweep sweep={sweep} models={overview.models} />)}
      {overview.comparisons.map((comparison) => (
        <Methods comparison={comparison} sweep={overview.sweeps.find((s) => s.name === comparison.model)} />
      ))}
    </>
  );
}
