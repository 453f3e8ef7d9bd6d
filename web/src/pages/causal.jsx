import { ScatterChart } from '../chart.jsx';
import { Table } from '../exports.jsx';
import { color, count, fixed, percent, plural } from '../format.js';
import { featureHref } from '../router.js';
import { Token } from '../token_text.jsx';

const kClasses = [
  ['persisting', 'persisting', 'circle', 0], ['found_again', 'found again', 'cross', 4],
  ['disappearing', 'disappearing', 'triangle', 1], ['emerging', 'emerging', 'square', 2],
  ['case_study', 'case studies', 'diamond', 3],
];
const kNames = Object.fromEntries(kClasses.map(([key, name]) => [key, name]));

function Medians({ check }) {
  const bar = fixed(check.effect_correlation_bar, 1), cosine = fixed(check.cosine_bar, 1);
  return (
    <Table>
      <caption>
        Medians over the pairs. Flagged: r of {fixed(check.threshold, 2)} or more, but an effect correlation
        below {bar} or a cosine below {cosine}.
      </caption>
      <thead>
        <tr>
          <th scope="col">features</th><th scope="col">pairs</th><th scope="col">r</th>
          <th scope="col">correlation<br />of effects</th><th scope="col">cosine of<br />directions</th>
          <th scope="col">correlation of<br />logit weights</th><th scope="col">matched</th><th scope="col">of these<br />flagged</th>
        </tr>
      </thead>
      <tbody>
        {kClasses.filter(([key]) => check.classes[key]?.pairs).map(([key, name]) => {
          const c = check.classes[key];
          return (
            <tr>
              <th scope="row">{name}</th><td>{count(c.pairs)}</td><td>{fixed(c.median_correlation, 2)}</td>
              <td>{fixed(c.median_effect_correlation, 2)}</td><td>{fixed(c.median_cosine, 2)}</td>
              <td>{fixed(c.median_logit_correlation, 2)}</td><td>{count(c.matched)}</td>
              <td>{c.matched ? `${count(c.flagged)} (${percent(c.flagged_share, 0)})` : '–'}</td>
            </tr>
          );
        })}
      </tbody>
      </Table>
  );
}

// The other end of a pair that was found again is a feature of the parent's second autoencoder.
const ofChild = (p) => p.class !== 'found_again';
const named = (check, p) =>
  `${check.parent} #${p.parent_feature} – ${ofChild(p) ? check.child : 'again'} #${p.child_feature}`;

function Pairs({ check, link }) {
  return (
    <details>
      <summary>All {plural(check.pairs.length, 'pair')} of {check.parent} → {check.child}</summary>
      <Table>
        <caption>Pairs whose effects were compared.</caption>
        <thead>
          <tr>
            <th scope="col">{check.parent}</th><th scope="col">{check.child}</th><th scope="col" class="text">class</th>
            <th scope="col">r</th><th scope="col">effects</th><th scope="col">cosine</th><th scope="col">logit weights</th><th scope="col" class="text" />
          </tr>
        </thead>
        <tbody>
          {check.pairs.map((p) => (
            <tr>
              <th scope="row">{link(check.parent, p.parent_feature)}</th><td>{ofChild(p) ? link(check.child, p.child_feature) : `#${p.child_feature} again`}</td>
              <td class="text">{p.hypothesis === null ? kNames[p.class] : <Token text={String(p.hypothesis)} />}</td>
              <td>{fixed(p.correlation, 3)}</td><td>{fixed(p.effect_correlation, 3)}</td><td>{fixed(p.cosine, 3)}</td>
              <td>{fixed(p.logit_correlation, 3)}</td><td class="text">{p.flagged ? 'flagged' : ''}</td>
            </tr>
          ))}
        </tbody>
        </Table>
    </details>
  );
}

function Edge({ check, known }) {
  const link = (model, j) => (known.has(model) ? <a href={featureHref(model, j)}>#{j}</a> : `#${j}`);
  const drawn = (p) => Number.isFinite(p.correlation) && Number.isFinite(p.effect_correlation);
  const missing = check.pairs.filter((p) => !drawn(p)).length;
  const groups = kClasses.filter(([key]) => check.pairs.some((p) => p.class === key)).map(([key, name, shape, tint]) => ({
    name, shape, color: color(tint),
    points: check.pairs.filter((p) => p.class === key && drawn(p)).map((p) => ({
      x: p.correlation, y: p.effect_correlation,
      href: known.has(check.parent) ? featureHref(check.parent, p.parent_feature) : undefined,
      label: `${named(check, p)}: r ${fixed(p.correlation, 2)}, effects ${fixed(p.effect_correlation, 2)}, cosine ${fixed(p.cosine, 2)}` })),
  }));
  return (
    <section>
      <h2>{check.parent} → {check.child}</h2>
      <Medians check={check} />
      {check.classes.found_again?.pairs > 0 && (
        <p>
          The other feature of a <b>found again</b> pair is of a second autoencoder of {check.parent} itself: only
          the autoencoder and its text differ, not the model. What is flagged there is not {check.child}'s doing.
        </p>
      )}
      {groups.some((g) => g.points.length) && (
        <ScatterChart groups={groups}
          title={`Correlation of effects against correlation of activations, ${check.parent} → ${check.child}; the list below holds the numbers`}
          xLine={{ at: check.threshold, label: `τ = ${fixed(check.threshold, 2)}` }}
          yLine={{ at: check.effect_correlation_bar, label: `flagged below ${fixed(check.effect_correlation_bar, 1)}` }}
          xLabel="r of the activations" yLabel="correlation of the effects" format={(v) => fixed(v, 2)} />
      )}
      <p class="muted">
        Each point is a pair, and opens the parent's feature.
        {missing > 0 && ` ${plural(missing, 'pair')} of unknown effect ${missing === 1 ? 'is' : 'are'} not drawn.`}
      </p>
      <Pairs check={check} link={link} />
    </section>
  );
}

export function Causal({ overview }) {
  const known = new Set(overview.models.filter((m) => m.index !== null).map((m) => m.name));
  return (
    <>
      <h1>Causal check</h1>
      <p>
        Two features that fire together need not do the same. Here each is removed from its own model, and the
        change of the loss is noted token by token: the <b>correlation of effects</b> says whether removing the
        one hurts where removing the other does. It depends on the rest of either model too, so a low one does not
        show that the feature itself has changed; and where a feature is off it has no effect. The <b>cosine</b> compares
        the directions in which they write, the <b>logit weights</b> the tokens that they promote. Features that disappear or emerge are held
        against their best partner all the same.
      </p>
      {overview.causal.map((check) => <Edge check={check} known={known} />)}
    </>
  );
}
