// What matches come to where there is nothing to match (definitions 16), and what other comparisons
// give (definitions 17).
import { Table } from './exports.jsx';
import { count, density, fixed, percent, shareInterval } from './format.js';

const kNulls = {
  shifted_rows: ['chance', 'the text of one model is shifted against the other\'s, so that only chance is left'],
  same_token: ['the token', 'activations are exchanged among places with the same token: what the token alone explains'],
  random_model: ['an untrained model', 'features of a model with random weights: what text and architecture give'],
};
const called = (null_) => kNulls[null_.null]?.[0] ?? null_.null;
const stated = (n) => (Number.isInteger(n) ? count(n) : n < 10 ? fixed(n, 1) : count(Math.round(n)));
const kSides = [['a', (e) => e.parent], ['b', (e) => e.child]];

function Strata({ edge }) {
  return (
    <details>
      <summary>By density: {edge.parent} → {edge.child}</summary>
      <p class="muted">
        Rare features reach by chance what frequent ones never do, so each is held against the null's best
        correlations of features as rare as itself.
      </p>
      <Table>
        <caption>Best correlations under each null, of features of a density.</caption>
        <thead>
          <tr>
            <th scope="col">null, features of</th><th scope="col">density</th><th scope="col">features</th>
            <th scope="col">median</th><th scope="col">95% are<br />below</th><th scope="col">99% are<br />below</th>
            <th scope="col">significant</th><th scope="col">from r of</th>
          </tr>
        </thead>
        {edge.nulls.map((n) => (
          <tbody>
            {kSides.flatMap(([side, model]) => n[side].strata.filter((s) => s.features > 0).map((s) => (
              <tr>
                <th scope="row">{called(n)}, {model(edge)}</th>
                <td>{density(s.lower)} – {density(s.upper)}</td><td>{count(s.features)}</td>
                <td>{fixed(s.median, 3)}</td><td>{fixed(s.p95, 3)}</td><td>{fixed(s.p99, 3)}</td>
                <td>{count(s.significant)}</td><td>{fixed(s.smallest_significant, 3)}</td>
              </tr>
            )))}
          </tbody>
        ))}
        </Table>
    </details>
  );
}

export function Nulls({ edges }) {
  const tested = edges.filter((e) => e.nulls.length);
  if (!tested.length) return null;
  const { alpha } = tested[0].nulls[0];
  const kinds = [...new Set(tested.flatMap((e) => e.nulls.map((n) => n.null)))].filter((kind) => kNulls[kind]);
  return (
    <>
      <h3>Matches under nulls</h3>
      <p>
        The best of many partners correlates with something even where there is nothing to find. Each null
        keeps only a part of what two models share and looks for the best partners again. A match
        is <b>significant</b> if its correlation is too high for the null's features of its density, at a false discovery rate of{' '}
        {percent(alpha, 0)}; it is <b>above its own null</b> if the null never gave that very feature as much.
      </p>
      <ul class="sentences">{kinds.map((kind) => <li><b>{kNulls[kind][0]}</b>: {kNulls[kind][1]}.</li>)}</ul>
      <Table>
        <caption>Matches, and what each null alone gives (mean over its runs).</caption>
        <thead>
          <tr>
            <th scope="col">null, features of</th><th scope="col">runs</th><th scope="col">matched by<br />the null</th>
            <th scope="col">matched</th><th scope="col">of these<br />significant</th>
            <th scope="col">of these above<br />their own null</th>
          </tr>
        </thead>
        {tested.map((e) => (
          <tbody>
            <tr class="group"><th scope="rowgroup" colspan="6">{e.parent} → {e.child}</th></tr>
            {e.nulls.flatMap((n) => kSides.map(([side, model]) => (
              <tr>
                <th scope="row">{called(n)}, {model(e)}</th><td>{count(n.runs)}</td>
                <td>{stated(n[side].null_matched)}</td><td>{count(n[side].matched)}</td>
                <td>{count(n[side].matched_significant)}</td><td>{count(n[side].matched_above_own)}</td>
              </tr>
            )))}
          </tbody>
        ))}
        </Table>
      {tested.map((e) => <Strata edge={e} />)}
    </>
  );
}

const kNatures = {
  'another seed': (e) => `trained as ${e.parent} was, from another seed`,
  'own text': (e) => `${e.parent} trained on with a fine-tune's schedule, on its own text`,
  'random weights': (e) => `${e.parent}'s architecture with random weights, never trained`,
};

export function Controls({ edges }) {
  if (!edges.length) return null;
  const share = (fit, matched, measurable) => (fit ? shareInterval(fit) : percent(matched / measurable));
  return (
    <>
      <h3>Controls: what other comparisons give</h3>
      <p>
        The same matching with models that stand beside the family. Their autoencoders read the base's text, those
        of fine-tunes the new domain too; so compare them with the seed alone, and the edges with their ceilings.
      </p>
      <Table>
        <caption>Shares of measurable features with a match, with 95% intervals where they were cross-fitted.</caption>
        <thead>
          <tr>
            <th scope="col">comparison</th><th scope="col" class="text">the control is</th>
            <th scope="col">matched,<br />of the first</th><th scope="col">matched,<br />of the control</th><th scope="col">one-to-one<br />pairs</th>
          </tr>
        </thead>
        <tbody>
          {edges.map((e) => (
            <tr>
              <th scope="row">{e.parent} – {e.child}</th>
              <td class="text wide">{kNatures[e.nature]?.(e) ?? 'a model beside the family'}</td>
              <td>{share(e.cross_fit?.a, e.persisting_parent, e.measurable_parent)}</td>
              <td>{share(e.cross_fit?.b, e.persisting_child, e.measurable_child)}</td>
              <td>{count(e.one_to_one)}</td>
            </tr>
          ))}
        </tbody>
        </Table>
    </>
  );
}
