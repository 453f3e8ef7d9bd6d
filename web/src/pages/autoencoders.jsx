import { Histogram } from '../chart.jsx';
import { Table } from '../exports.jsx';
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

/** Columns of the table of L1 coefficients, each shown where some row has it. */
const kLambda = [
  ['λ', (r) => r.l1_coefficient, String],
  ['λ of the summed error', (r) => r.l1_coefficient_sum, (v) => (v ?? null) === null ? '–' : String(Number(v.toPrecision(3)))],
  ['mean L0', (r) => r.l0, (v) => fixed(v, 1)],
  ['explained loss, zero', (r) => r.explained_loss?.zero ?? r.explained_loss, (v) => percent(v)],
  ['explained loss, mean', (r) => r.explained_loss?.mean, (v) => percent(v)],
  ['explained variance', (r) => r.explained_variance, (v) => percent(v)],
  ['dead features', (r) => r.dead_share, (v) => percent(v)],
];

const small = (x) => (x === undefined || x === null ? '–' : x < 0.001 ? x.toExponential(2) : fixed(x, 4));

function PerCorpus({ models }) {
  const corpora = [...new Set(models.flatMap((m) => Object.keys(m.autoencoder.explained_loss?.per_corpus ?? {})))];
  if (!corpora.length) return null;
  const cell = (m, c, ablation) => {
    const value = m.autoencoder.explained_loss?.per_corpus?.[c];
    return typeof value === 'number' ? (ablation === 'zero' ? value : undefined) : value?.[ablation];
  };
  const nats = (m, c) => m.autoencoder.explained_loss?.per_corpus?.[c]?.difference_nats;
  const difference = models.some((m) => corpora.some((c) => nats(m, c) !== undefined));
  const both = models.some((m) => corpora.some((c) => cell(m, c, 'mean') !== undefined));
  return (
    <section>
      <h2>Explained loss by corpus</h2>
      <Table>
        <thead><tr><th>model</th>{corpora.map((c) => <th>{c}</th>)}</tr></thead>
        <tbody>
          {models.map((m) => (
            <tr>
              <th scope="row">{m.name}</th>
              {corpora.map((c) => (
                <td>
                  {percent(cell(m, c, 'zero'))}
                  {Number.isFinite(cell(m, c, 'zero')) && (
                    <div class="muted">
                      {[both && percent(cell(m, c, 'mean')), nats(m, c) !== undefined && fixed(nats(m, c), 3)]
                        .filter(Boolean).join(' / ')}
                    </div>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        </Table>
      <p class="muted">
        With zero ablation; below it, {[both && 'with mean ablation',
          difference && 'what the reconstruction adds to the loss, in nats'].filter(Boolean).join(' / ')}.
      </p>
    </section>
  );
}

/** Histograms on the same edges, without the bins at the ends that are empty in all of them. */
function trim(histograms) {
  const used = histograms.flatMap(({ counts }) => counts.map((n, i) => (n ? i : -1)).filter((i) => i >= 0));
  const [first, last] = used.length ? [Math.min(...used), Math.max(...used)] : [0, 0];
  return histograms.map(({ log10_edges: edges, counts }) => ({
    edges: edges.slice(first, last + 2), counts: counts.slice(first, last + 1) }));
}

export function Autoencoders({ overview }) {
  const models = overview.models.map((m, i) => ({ ...m, color: color(i) })).filter((m) => m.autoencoder);
  const lambda = overview.lambda_table;
  const given = ([, read]) => lambda.some((row) => Number.isFinite(read(row)));
  const histograms = models.filter((m) => m.autoencoder.density_histogram);
  const trimmed = trim(histograms.map((m) => m.autoencoder.density_histogram));
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
        <Table>
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
          </Table>
      </section>
      <PerCorpus models={models} />
      {lambda?.length > 0 && (
        <section>
          <h2>The L1 coefficient</h2>
          <p class="muted">The trade between sparsity and loss, with all else equal.</p>
          <Table>
            <thead>
              <tr>{kLambda.filter(given).map(([label]) => <th>{label}</th>)}</tr>
            </thead>
            <tbody>
              {lambda.map((row) => (
                <tr>{kLambda.filter(given).map(([, read, cell]) => <td>{cell(read(row))}</td>)}</tr>
              ))}
            </tbody>
            </Table>
        </section>
      )}
      {histograms.length > 0 && (
        <section>
          <h2>How often features are active</h2>
          <p class="muted">Share of tokens on which a feature is active, on a logarithmic scale.</p>
          <div class="small-multiples">
            {histograms.map((m, i) => (
              <div>
                <h3>{m.name}</h3>
                <Histogram {...trimmed[i]}
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
