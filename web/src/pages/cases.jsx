import { Table } from '../exports.jsx';
import { count, fixed, percent } from '../format.js';
import { featureHref } from '../router.js';
import { Token } from '../token_text.jsx';

const show = (value) => (typeof value === 'number'
  ? (Number.isInteger(value) ? count(value) : fixed(value, 3))
  : value === null || value === undefined ? '–' : String(value));

/** Figures of a model's best feature, in the order shown where they are given. */
const kFigures = [
  ['llr_bits', 'log-likelihood ratio', (v) => `${fixed(v, 2)} bits`],
  ['llr_nats', 'in nats', (v) => fixed(v, 2)],
  ['active_bits', 'ratio by tokens', (v) => `${fixed(v, 2)} bits`],
  ['mass_share', 'share of activation', (v) => percent(v)],
  ['times_more_active_elsewhere', 'times more active elsewhere', (v) => fixed(v, 2)],
  ['active_tokens', 'active tokens', count],
  ['active_on_hypothesis', 'on the hypothesis', count],
  ['correlation_with_hypothesis', 'correlation with it', (v) => fixed(v, 3)],
];

function Case({ study, known }) {
  if (study.occurrences === 0) {
    return (
      <section>
        <h2>The hypothesis <Token text={String(study.hypothesis)} /></h2>
        <p>It does not occur in the matching text, so no feature can be found for it.</p>
      </section>
    );
  }
  const columns = kFigures.filter(([key]) => study.models.some((m) => m[key] !== undefined));
  return (
    <section>
      <h2>The hypothesis <Token text={String(study.hypothesis)} /></h2>
      {study.occurrences > 0 && (
        <p>
          {count(study.occurrences)} tokens of the matching text
          {study.token_share ? ` (${percent(study.token_share, 2)})` : ''}
          {Number.isFinite(study.bound_bits) ? `, so that no feature can have a ratio above ${fixed(study.bound_bits, 2)} bits` : ''}.
        </p>
      )}
      {study.persists !== undefined && (
        <p>{study.persists ? 'The feature persists: every edge of the chain is a match.' : 'The feature does not persist along every edge.'}</p>
      )}
      <Table>
        <thead><tr><th>model</th><th>feature</th>{columns.map(([, label]) => <th>{label}</th>)}</tr></thead>
        <tbody>
          {study.models.map((m) => (
            <tr>
              <th scope="row">{m.model}</th>
              <td>{m.feature === null || m.feature === undefined || m.feature < 0 ? '–'
                : known.has(m.model) ? <a href={featureHref(m.model, m.feature)}>#{m.feature}</a> : `#${m.feature}`}</td>
              {columns.map(([key, , cell]) => <td>{m[key] === undefined || m[key] === null ? '–' : cell(m[key])}</td>)}
            </tr>
          ))}
        </tbody>
        </Table>
      {Array.isArray(study.correlations) && study.correlations.length > 0 && (
        <Table>
          <thead><tr><th>correlation of</th><th>r</th></tr></thead>
          <tbody>
            {study.correlations.map((c) => (
              <tr><th scope="row">{c.a ?? c.parent ?? c.model_a} – {c.b ?? c.child ?? c.model_b}</th><td>{show(c.r ?? c.correlation)}</td></tr>
            ))}
          </tbody>
          </Table>
      )}
      {Array.isArray(study.edges) && study.edges.length > 0 && (
        <Table>
          <thead>
            <tr><th>edge</th><th>correlation of the two</th><th class="text">verdict</th><th>strongest match of the parent's feature</th><th>r</th></tr>
          </thead>
          <tbody>
            {study.edges.map((e) => (
              <tr>
                <th scope="row">{e.parent} → {e.child}</th><td>{show(e.correlation)}</td>
                <td class="text">{e.persists ? <span class="class persisting">persists</span> : <span class="class disappearing">does not persist</span>}</td>
                <td>{Number.isInteger(e.strongest?.feature) && known.has(e.child) ? <a href={featureHref(e.child, e.strongest.feature)}>#{e.strongest.feature}</a> : '–'}</td>
                <td>{show(e.strongest_correlation)}</td>
              </tr>
            ))}
          </tbody>
          </Table>
      )}
      {Number.isFinite(study.mean_correlation) && <p>Mean over all pairs: {show(study.mean_correlation)}.</p>}
    </section>
  );
}

export function Cases({ overview }) {
  const known = new Set(overview.models.filter((m) => m.index !== null).map((m) => m.name));
  return (
    <>
      <h1>Case studies</h1>
      <p>
        For each hypothesis, the feature of every model that fits it best. The log-likelihood ratio
        is log2 of the share of the feature's activation on these tokens over their share of the text.
      </p>
      {overview.cases.map((study) => <Case study={study} known={known} />)}
    </>
  );
}
