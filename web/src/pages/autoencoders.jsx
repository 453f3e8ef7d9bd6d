import { Histogram } from '../chart.jsx';
import { color, count, fixed, percent, short } from '../format.js';

const kRows = [
  ['features', (e) => count(e.features), '16,384'],
  ['mean L0 (active features per token)', (e) => fixed(e.l0, 1), '25–35'],
  ['mean squared error', (e) => small(e.mse), '< 0.0067'],
  ['mean squared error / variance', (e) => fixed(e.mse_over_variance, 3), 'not given'],
  ['explained variance', (e) => percent(e.explained_variance), 'not given'],
  ['explained loss, zero ablation', (e) => percent(e.explained_loss?.zero), '> 88%'],
  ['explained loss, mean ablation', (e) => percent(e.explained_loss?.mean), 'not given'],
  ['dead features', (e) => percent(e.dead_share), 'not given'],
  ['loss of the model (nats)', (e) => fixed(e.loss_original, 3), 'not given'],
  ['loss with the reconstruction', (e) => fixed(e.loss_reconstructed, 3), 'not given'],
  ['loss with the activations at zero', (e) => fixed(e.loss_zero, 3), 'not given'],
  ['loss with the activations at their mean', (e) => fixed(e.loss_mean, 3), 'not given'],
  ['measured on tokens', (e) => short(e.tokens), 'not given'],
];

const small = (x) => (x === undefined || x === null ? '–' : x < 0.001 ? x.toExponential(2) : fixed(x, 4));

function PerCorpus({ models }) {
  const corpora = [...new Set(models.flatMap((m) => Object.keys(m.autoencoder.explained_loss?.per_corpus ?? {})))];
  if (!corpora.length) return null;
  const cell = (m, c, ablation) => {
    const value = m.autoencoder.explained_loss?.per_corpus?.[c];
    return typeof value === 'number' ? (ablation === 'zero' ? value : undefined) : value?.[ablation];
  };
  const both = models.some((m) => corpora.some((c) => cell(m, c, 'mean') !== undefined));
  return (
    <section>
      <h2>Explained loss by corpus</h2>
      <div class="scroll">
        <table>
          <thead><tr><th>model</th>{corpora.map((c) => <th>{c}</th>)}</tr></thead>
          <tbody>
            {models.map((m) => (
              <tr>
                <th scope="row">{m.name}</th>
                {corpora.map((c) => (
                  <td>{percent(cell(m, c, 'zero'))}{both && <span class="muted"> / {percent(cell(m, c, 'mean'))}</span>}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p class="muted">Zero ablation{both && ' / mean ablation'}.</p>
    </section>
  );
}

export function Autoencoders({ overview }) {
  const models = overview.models.map((m, i) => ({ ...m, color: color(i) })).filter((m) => m.autoencoder);
  const lambda = overview.lambda_table;
  const histograms = models.filter((m) => m.autoencoder.density_histogram);
  return (
    <>
      <h1>Autoencoders</h1>
      <section>
        <p>
          One sparse autoencoder per model, measured on held-out text. Explained loss is (ablated −
          reconstructed) / (ablated − original) in cross-entropy; the paper ablates with zeros. MSE
          depends on the scale of the activations: compare it across models by its ratio to the
          variance.
        </p>
        <div class="scroll">
          <table>
            <thead><tr><th></th>{models.map((m) => <th>{m.name}</th>)}<th class="paper">the paper's</th></tr></thead>
            <tbody>
              {kRows.map(([name, cell, paper]) => (
                <tr>
                  <th scope="row">{name}</th>
                  {models.map((m) => <td>{cell(m.autoencoder)}</td>)}
                  <td class="paper">{paper === 'not given' ? <span class="muted">–</span> : paper}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </section>
      <PerCorpus models={models} />
      {lambda?.length > 0 && (
        <section>
          <h2>The L1 coefficient</h2>
          <div class="scroll">
            <table>
              <thead><tr>{Object.keys(lambda[0]).map((key) => <th>{key.replaceAll('_', ' ')}</th>)}</tr></thead>
              <tbody>
                {lambda.map((row) => <tr>{Object.values(row).map((v) => <td>{typeof v === 'number' ? Number(v.toPrecision(4)) : String(v)}</td>)}</tr>)}
              </tbody>
            </table>
          </div>
        </section>
      )}
      {histograms.length > 0 && (
        <section>
          <h2>How often features are active</h2>
          <p class="muted">Share of tokens on which a feature is active, on a logarithmic scale.</p>
          <div class="small-multiples">
            {histograms.map((m) => (
              <div>
                <h3>{m.name}</h3>
                <Histogram edges={m.autoencoder.density_histogram.log10_edges} counts={m.autoencoder.density_histogram.counts}
                  color={m.color} xLabel="log10 of the density" xFormat={(v) => fixed(v, 1)}
                  title={`Densities of the features of ${m.name}`} />
              </div>
            ))}
          </div>
        </section>
      )}
    </>
  );
}
