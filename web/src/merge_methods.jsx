// The same merge by several methods: where each balances, what it can do, what it keeps.
import { LineChart } from './chart.jsx';
import { Table } from './exports.jsx';
import { color, count, fixed, percent } from './format.js';

const words = (method) => method.replaceAll('_', ' ');

/** "ties (density 0.5)": a method with its options. */
const described = ({ method, options }) => {
  const listed = Object.entries(options ?? {}).filter(([, v]) => v !== null && typeof v !== 'object')
    .map(([name, v]) => `${words(name)} ${v}`);
  return listed.length ? `${words(method)} (${listed.join(', ')})` : words(method);
};

function Retained({ of }) {
  if (!of) return '–';
  return (
    <>
      {percent(of.share)}
      <div class="muted">{count(of.retained)} of {count(of.measurable)}</div>
      {of.own_corpora && <div class="muted">{percent(of.own_corpora.share)} on its text</div>}
    </>
  );
}

/** Where a method balances: its accuracy in all documents, with the interval of t. */
const balanced = (methods, curves, scores) => curves.flatMap((c, i) => {
  const m = methods.find((method) => method.name === c.name);
  if (!m || !Number.isFinite(m.balance?.merged?.[scores])) return [];
  const { interval } = m.balance;
  return [{ x: m.t, y: m.balance.merged[scores], color: color(i), low: interval?.low, high: interval?.high }];
});

function Curves({ methods, curves, a, b }) {
  if (curves.length < 2) return null;
  const chart = (parent, at) => (
    <div>
      <h3>On {parent}'s text</h3>
      <LineChart
        title={`Accuracy on ${parent}'s text along the merge, by method`}
        series={curves.map((c, i) => ({
          name: words(c.method), color: color(i), dash: i >= 4 ? '6 3' : undefined,
          points: c.points.map((p) => [p[0], p[at]]) }))}
        dots={balanced(methods, curves, at === 1 ? 'accuracy_a' : 'accuracy_b')}
        xLabel={`t (0 is all ${a}, 1 all ${b})`} yLabel="next-token accuracy"
        xFormat={(v) => fixed(v, 2)} yFormat={(v, fine) => percent(v, fine ? 2 : 0)} height={280}
      />
    </div>
  );
  return (
    <>
      <div class="small-multiples">{chart(a, 1)}{chart(b, 2)}</div>
      <p class="muted">
        A ring is a method's balance point, the thick line through it the interval of t. Methods with task vectors
        do not end in the parents: at t = 0 the base has {a}'s task vector alone added to it, times its scale.
      </p>
    </>
  );
}

function ByCorpus({ rows, corpora }) {
  return (
    <details>
      <summary>Accuracy by corpus</summary>
      <Table>
        <caption>Next-token accuracy on the held-out text of each corpus.</caption>
        <thead><tr><th scope="col">model</th>{corpora.map((c) => <th scope="col">{c}</th>)}</tr></thead>
        <tbody>
          {rows.map((r) => (
            <tr><th scope="row">{r.label}</th>{corpora.map((c) => <td>{percent(r.accuracy[c], 2)}</td>)}</tr>
          ))}
        </tbody>
        </Table>
    </details>
  );
}

export function Methods({ comparison, sweep }) {
  const [a, b] = comparison.parents;
  const baseline = (name) => sweep && ({ [sweep.base]: sweep.baselines.base, [a]: sweep.baselines.a, [b]: sweep.baselines.b })[name];
  const rows = [
    ...comparison.methods.map((m) => ({
      label: described(m), own: m.own, t: m.t, interval: m.balance?.interval, crossings: m.balance?.crossings,
      half: m.balance?.other_half,
      all: m.balance?.merged, accuracy: m.accuracy, retained: m.retained })),
    ...comparison.baselines.map((m) => ({
      label: `${m.name}, unmerged`, all: baseline(m.name), accuracy: m.accuracy, retained: m.retained })),
  ];
  const corpora = [...new Set(rows.flatMap((r) => Object.keys(r.accuracy)))];
  return (
    <section>
      <h2>{comparison.model} by other methods</h2>
      <p>
        The same parents merged by each method, at the balance point of each. A feature of a parent is{' '}
        <b>retained</b> if it still fires on the same text: the merged model is read through the parent's own
        autoencoder, and the feature's activations there correlate with those in the parent at{' '}
        {fixed(comparison.threshold, 2)} or more, over {count(comparison.tokens)} tokens. No second autoencoder
        comes between; features that another seed would not find are counted too.
      </p>
      <Table>
        <caption>
          Methods at their balance points with 95% intervals, and the models that were merged. Accuracies on the
          half of the documents that had no part in choosing t, and on all.
        </caption>
        <thead>
          <tr>
            <th scope="col" rowspan="2">method</th><th scope="col" rowspan="2">t</th>
            <th scope="colgroup" colspan="2" class="group">accuracy, other half</th>
            <th scope="colgroup" colspan="2" class="group">accuracy, all</th>
            <th scope="colgroup" colspan="2" class="group">features retained</th>
          </tr>
          <tr>
            {[0, 1].map(() => <><th scope="col">{a}'s text</th><th scope="col">{b}'s text</th></>)}
            <th scope="col">of {a}</th><th scope="col">of {b}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((r) => (
            <tr class={r.own ? 'own' : undefined}>
              <th scope="row" class="wide">{r.label}{r.own && <div class="muted">this study's</div>}</th>
              <td>
                {fixed(r.t, 3)}
                {r.crossings === 0 && <div class="muted">no crossing: the nearest</div>}
                {r.crossings > 1 && <div class="muted">one of {r.crossings} crossings</div>}
                {r.crossings !== 0 && Number.isFinite(r.interval?.low) && <div class="muted">{fixed(r.interval.low, 3)}–{fixed(r.interval.high, 3)}</div>}
              </td>
              <td>{percent(r.half?.accuracy_a, 2)}</td><td>{percent(r.half?.accuracy_b, 2)}</td>
              <td>{percent(r.all?.accuracy_a, 2)}</td><td>{percent(r.all?.accuracy_b, 2)}</td>
              <td><Retained of={r.retained[a]} /></td><td><Retained of={r.retained[b]} /></td>
            </tr>
          ))}
        </tbody>
        </Table>
      <Curves methods={comparison.methods} curves={comparison.curves} a={a} b={b} />
      <ByCorpus rows={rows} corpora={corpora} />
    </section>
  );
}
