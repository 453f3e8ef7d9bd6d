import { useState } from 'preact/hooks';
import { LineChart } from '../chart.jsx';
import { Table } from '../exports.jsx';
import { color, fixed, percent, plural, short } from '../format.js';

const zip = (xs, ys) => xs.map((x, i) => [x, ys[i]]);

/** Accuracy and loss of every model on every corpus's held-out text. */
export function Scores({ models }) {
  const corpora = [...new Set(models.flatMap((m) => Object.keys(m.evaluation ?? {})))];
  if (!corpora.length) return null;
  const best = Object.fromEntries(corpora.map((c) => [c,
    Math.max(...models.map((m) => m.evaluation?.[c]?.accuracy ?? 0))]));
  return (
    <Table>
      <thead>
        <tr><th rowspan="2">model</th>{corpora.map((c) => <th colspan="2" class="group">{c}</th>)}</tr>
        <tr>{corpora.map(() => <><th>accuracy</th><th>loss</th></>)}</tr>
      </thead>
      <tbody>
        {models.map((m) => (
          <tr>
            <th scope="row">{m.name}</th>
            {corpora.map((c) => {
              const e = m.evaluation?.[c];
              return (
                <>
                  <td class={e && e.accuracy === best[c] ? 'best' : ''}>{percent(e?.accuracy)}</td>
                  <td title={e ? `perplexity ${fixed(e.perplexity, 1)}, ${plural(e.tokens, 'token')}` : ''}>{fixed(e?.loss, 3)}</td>
                </>
              );
            })}
          </tr>
        ))}
      </tbody>
      </Table>
  );
}

export function Training({ overview }) {
  const { models } = overview;
  const trained = models.map((m, i) => ({ ...m, color: color(i) })).filter((m) => m.training);
  const corpora = [...new Set(trained.flatMap((m) => Object.keys(m.training.validation)))];
  const [measure, setMeasure] = useState('loss');
  const axes = { xLabel: 'tokens seen in this training', xFormat: short };
  return (
    <>
      <h1>Training</h1>
      <section>
        <h2>On held-out text</h2>
        <p>Next-token accuracy and loss (nats per token) after training. The best model on each corpus is bold.</p>
        <Scores models={models} />
      </section>
      {trained.length > 0 && (
        <section>
          <h2>Training loss</h2>
          <p class="muted">
            Mean cross-entropy in nats per token on each model's own mixture
            {trained.some((m) => m.training.averaged > 1)
              && `; each point is the mean of up to ${Math.max(...trained.map((m) => m.training.averaged))} steps`}.
          </p>
          <LineChart {...axes} title="Training loss" yLabel="loss" yFormat={(v, fine) => fixed(v, fine ? 3 : 1)}
            series={trained.map((m) => ({ name: m.name, color: m.color, points: zip(m.training.tokens, m.training.loss) }))} />
        </section>
      )}
      {corpora.length > 0 && (
        <section>
          <h2>Validation while training</h2>
          <p class="switch" role="group" aria-label="Measure">
            {['loss', 'accuracy'].map((m) => (
              <button type="button" aria-pressed={m === measure} onClick={() => setMeasure(m)}>{m}</button>
            ))}
          </p>
          <div class="small-multiples">
            {corpora.map((corpus) => (
              <div>
                <h3>{corpus}</h3>
                <LineChart {...axes} height={250} title={`Validation ${measure} on ${corpus}`} yLabel={measure}
                  yFormat={measure === 'loss' ? (v, fine) => fixed(v, fine ? 3 : 1) : (v, fine) => percent(v, fine ? 1 : 0)}
                  series={trained.filter((m) => m.training.validation[corpus]).map((m) => ({
                    name: m.name, color: m.color,
                    points: zip(m.training.validation[corpus].tokens, m.training.validation[corpus][measure]),
                  }))} />
              </div>
            ))}
          </div>
        </section>
      )}
    </>
  );
}
