// What a share can be compared with: the ceiling that a second autoencoder of the same model reaches,
// and the verdict on each feature that follows from it (definitions 14 and 15).
import { LineChart } from './chart.jsx';
import { Table } from './exports.jsx';
import { color, count, fixed, percent, shareInterval } from './format.js';

/** The cross-fitted share, if there is one, above that on all rows, {matched, of}. */
function Share({ fit, raw }) {
  const all = raw && raw.of > 0 && `${count(raw.matched)} of ${count(raw.of)}`;
  if (!fit) return all ? <>{percent(raw.matched / raw.of)}<div class="muted">{all}</div></> : '–';
  return <>{shareInterval(fit)}{all && <div class="muted">all rows: {all}</div>}</>;
}

/** Of the features found again; unknown, and so is its interval, where none is. */
const conditional = (fit) => (fit && fit.found_again > 0
  ? { measurable: 1, matched: fit.both / fit.found_again, low: fit.low, high: fit.high } : null);

/** Both ends of an edge, in rows under the edge's name. */
const ends = (e) => [
  { model: e.parent, fit: e.cross_fit?.a, verdict: e.verdict.parent, absent: 'disappeared' },
  { model: e.child, fit: e.cross_fit?.b, verdict: e.verdict.child, absent: 'emerged' },
];

function Ceilings({ edges }) {
  return (
    <>
      <h3>Shares and their ceilings</h3>
      <p>
        Two autoencoders of one and the same model do not find the same features either. The <b>ceiling</b> is
        the share of features that a second autoencoder of the <i>same</i> model finds again, trained with
        another seed on the child's text: about the share that would match if the model had not changed. The
        child's ceiling has the same text on both sides, its share has not. <b>Given found again</b> is the share
        among those features alone. Of a parent's, below it, is the share of them that a third autoencoder of the
        parent finds too, on the parent's own text: about what it would be <b>without a change</b> of the model; the
        rest is the model's change, but also other text, and one seed. The <b>seed alone</b> is the ceiling where
        the text is the model's own. These two are counts on all rows.
      </p>
      <Table>
        <caption>
          Cross-fitted shares with their 95% intervals over documents; below them the counts on all rows.
        </caption>
        <thead>
          <tr>
            <th scope="col">features of</th><th scope="col">persist</th><th scope="col">ceiling</th>
            <th scope="col">persist, given<br />found again</th><th scope="col">seed alone</th>
          </tr>
        </thead>
        {edges.map((e) => (
          <tbody>
            <tr class="group"><th scope="rowgroup" colspan="5">{e.parent} → {e.child}</th></tr>
            {ends(e).map(({ model, fit, verdict: v }) => (
              <tr>
                <th scope="row">{model}</th>
                <td><Share fit={fit} raw={v.share} /></td>
                <td><Share fit={v.ceiling_fit} raw={v.ceiling} /></td>
                <td>
                  <Share fit={conditional(v.conditional_fit)} raw={v.conditional} />
                  {v.conditional_same_mixture?.of > 0 && (
                    <div class="muted">
                      without a change: {percent(v.conditional_same_mixture.matched / v.conditional_same_mixture.of)}
                    </div>
                  )}
                </td>
                <td>{v.same_mixture ? percent(v.same_mixture.matched / v.same_mixture.of) : '–'}</td>
              </tr>
            ))}
          </tbody>
        ))}
        </Table>
    </>
  );
}

const kVerdicts = [
  ['persists', 'verdict-persists'], ['absent', 'verdict-absent'], ['seed_dependent', 'verdict-seed'],
  ['unresolved', 'verdict-unresolved'], ['unmeasurable', 'verdict-unmeasurable'],
];
const nameOf = (key, absent) => (key === 'absent' ? absent : key.replace('_', '-'));

function Bar({ model, verdict, absent }) {
  const total = kVerdicts.reduce((sum, [key]) => sum + verdict[key], 0);
  let x = 0;
  return (
    <svg class="verdicts" viewBox="0 0 100 10" preserveAspectRatio="none" role="img"
      aria-label={`Verdicts on the ${count(total)} features of ${model}; the numbers stand beside it`}>
      {kVerdicts.map(([key, cls]) => {
        const from = x, width = total ? (100 * verdict[key]) / total : 0;
        x += width;
        return width > 0 && (
          <rect x={from} width={width} height="10" class={cls}>
            <title>{`${nameOf(key, absent)}: ${count(verdict[key])} (${percent(verdict[key] / total)})`}</title>
          </rect>
        );
      })}
    </svg>
  );
}

const Key = ({ cls }) => <svg width="10" height="10" class="key" aria-hidden="true"><rect width="10" height="10" class={cls} /></svg>;

function Verdicts({ edges }) {
  return (
    <>
      <h3>Verdicts</h3>
      <p>
        A feature without a match has <b>disappeared</b> (the parent's) or <b>emerged</b> (the child's) only if a
        second autoencoder of its own model finds it again, and neither autoencoder of the other model does. That
        is no bound: two autoencoders of an unchanged model would miss some too, and unresolved features may have
        disappeared as well. If the other model's second one does, the verdict would depend on a <b>seed</b>. A
        feature that is not found again either is <b>unresolved</b>: the edge says nothing of it.
      </p>
      <Table>
        <caption>Features by verdict, at the matching threshold.</caption>
        <thead>
          <tr>
            <th scope="col">features of</th><th scope="col" aria-label="as a bar" />
            <th scope="col"><Key cls="verdict-persists" />persists</th>
            <th scope="col"><Key cls="verdict-absent" />disappeared<br />or emerged</th>
            <th scope="col"><Key cls="verdict-seed" />seed-<br />dependent</th>
            <th scope="col"><Key cls="verdict-unresolved" />unresolved</th>
            <th scope="col"><Key cls="verdict-unmeasurable" />unmeasurable</th>
          </tr>
        </thead>
        {edges.map((e) => (
          <tbody>
            <tr class="group"><th scope="rowgroup" colspan="7">{e.parent} → {e.child}</th></tr>
            {ends(e).map(({ model, verdict, absent }) => (
              <tr>
                <th scope="row">{model}</th>
                <td class="fill"><Bar {...{ model, verdict, absent }} /></td>
                {kVerdicts.map(([key]) => (
                  <td>{count(verdict[key])}{key === 'absent' && <div class="muted">{absent}</div>}</td>
                ))}
              </tr>
            ))}
          </tbody>
        ))}
        </Table>
    </>
  );
}

/** The share that the null gives at the threshold, in words and as a point. */
const chance = (e) => {
  const token = e.nulls.find((n) => n.null === 'same_token');
  if (token && token.a.measurable) return ['the same tokens alone', token.a.null_matched / token.a.measurable];
  return (e.permuted ?? null) === null || !e.measurable_parent ? null
    : ['rows shifted', e.permuted / e.measurable_parent];
};

function Curve({ edge: e, threshold, colors }) {
  const ceiling = (side) => e.verdict?.[side].thresholds.map((t) => [t.threshold, t.ceiling]) ?? [];
  const share = (side) => e.thresholds.map((t) => [t.threshold, t[`persisting_${side}`] / e[`measurable_${side}`]]);
  const level = chance(e);
  return (
    <div>
      <h3>{e.parent} → {e.child}</h3>
      <LineChart
        title={`Share of matched features against the threshold, ${e.parent} → ${e.child}; the tables hold the numbers`}
        series={[
          { name: `of ${e.parent}`, color: colors(e.parent), points: share('parent') },
          { name: `ceiling of ${e.parent}`, color: colors(e.parent), dash: '5 4', points: ceiling('parent') },
          { name: `of ${e.child}`, color: colors(e.child), points: share('child') },
          { name: `ceiling of ${e.child}`, color: colors(e.child), dash: '5 4', points: ceiling('child') },
        ]}
        dots={level ? [{ x: threshold, y: level[1], label: `${level[0]} (of ${e.parent})`, color: colors(e.parent) }] : []}
        marks={[{ x: threshold, label: `τ = ${fixed(threshold, 2)}` }]}
        xLabel="r at least" yLabel="share" xFormat={(v) => fixed(v, 2)} yFormat={(v, fine) => percent(v, fine ? 1 : 0)}
        height={240}
      />
    </div>
  );
}

/** Share against threshold, of every edge, with ceiling and chance where they are known. */
export function ShareCurves({ models, edges, threshold }) {
  const colors = (name) => color(models.findIndex((m) => m.name === name));
  const ceilings = edges.some((e) => e.verdict), level = edges.some(chance);
  return (
    <>
      <h3>Share against threshold</h3>
      <p>
        The share of measurable features with a match, if a match were r at least so much
        {ceilings ? '; dashed, the ceiling' : ''}{level ? '; the ring is what the null named beside it gives at the threshold of this report' : ''}.
      </p>
      <div class="small-multiples">
        {edges.map((e) => <Curve edge={e} threshold={threshold} colors={colors} />)}
      </div>
    </>
  );
}

export function CeilingsAndVerdicts({ edges }) {
  const judged = edges.filter((e) => e.verdict);
  if (!judged.length) return null;
  return <><Ceilings edges={judged} /><Verdicts edges={judged} /></>;
}
