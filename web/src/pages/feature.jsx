import { useState } from 'preact/hooks';
import { Histogram, PointCloud } from '../chart.jsx';
import { Explanation } from '../explanation.jsx';
import { Table } from '../exports.jsx';
import { color, count, density, fixed, percent } from '../format.js';
import { chunkOf, explanationsOf, featureChunks, kFeaturesPerChunk, pointsOf, useChunks } from '../payload.js';
import { featureHref, modelHref } from '../router.js';
import { bestOf, edgesOf } from '../select.js';
import { matchesOf, pairedOf, served, useAnswer } from '../server.js';
import { spreadLevels, Token, TokenText } from '../token_text.jsx';
import { Class } from './features.jsx';

function ExampleList({ overview, examples, max, vocabulary, breaks }) {
  return (
    <ol class="examples">
      {examples.map(([corpus, document, peak, value, tokens, levels]) => (
        <li>
          <div class="from">
            <b>{fixed(value, 2)}</b><br />
            {[overview.corpora[corpus], document >= 0 && `document ${count(document)}`].filter(Boolean).join(', ')}
          </div>
          <TokenText tokens={tokens} levels={spreadLevels(levels, tokens.length)} scale={max}
            peak={peak} vocabulary={vocabulary} breaks={breaks} />
        </li>
      ))}
    </ol>
  );
}

function Examples({ overview, feature, max, vocabulary }) {
  const [breaks, setBreaks] = useState(false);
  if (!feature.examples.length) return <p class="muted">It is active on no token of the matching text.</p>;
  const shown = { overview, max, vocabulary, breaks };
  const intervals = feature.intervals ?? [], of = overview.budget.intervals;
  return (
    <>
      <p>
        <button type="button" aria-pressed={breaks} onClick={() => setBreaks(!breaks)}>break lines at ↵</button>{' '}
        <span class="muted">The darker, the more active; the strongest token is underlined.</span>
      </p>
      <ExampleList {...shown} examples={feature.examples} />
      {intervals.length > 0 && (
        <details open>
          <summary>Examples by interval of activation</summary>
          <p class="muted">
            One from the middle of each of {of} equal shares of its active tokens, from the strongest share to the weakest.
          </p>
          <ExampleList {...shown} examples={intervals.map(([, example]) => example)} />
        </details>
      )}
    </>
  );
}

/** Of the partners that the report has of a measurable feature, all are measurable too. */
const isMatch = (index, number, r, threshold) => threshold !== null && index.measurable[number] === '1' && r >= threshold;

/** Every partner above the floor of the matches, which a report from a file has no room for. */
function AllMatches({ overview, model, number }) {
  const [wanted, setWanted] = useState(false);
  const { answer, error } = useAnswer(wanted ? `${model.name}/${number}` : null, () => matchesOf(model.name, number));
  return (
    <details onToggle={(e) => setWanted(e.currentTarget.open)}>
      <summary>All of its matches</summary>
      {error && <p class="warning">{error.message}</p>}
      {!answer && !error && <p class="muted">Looking them up…</p>}
      {answer?.length > 0 && (
        <Table name={`matches of ${model.name} ${number}`}>
          <thead><tr><th>model</th><th class="text">feature</th><th>correlation</th></tr></thead>
          <tbody>
            {answer.map(({ model: other, feature, r }) => (
              <tr>
                <th scope="row"><span class="dot" style={{ background: color(overview.models.findIndex((m) => m.name === other)) }} />{other}</th>
                <td class="text"><a href={featureHref(other, feature)}>#{feature}</a></td>
                <td>{fixed(r, 3)}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      )}
      {answer?.length === 0 && <p class="muted">None is at or above the floor.</p>}
    </details>
  );
}

function Matches({ overview, model, index, feature, edges, threshold, number }) {
  const rows = feature.matches.flatMap(([other, pairs]) => pairs.map(([j, r], rank) => ({
    model: overview.models[other], tint: color(other), j, r, rank, of: pairs.length })));
  const without = overview.models.filter((m) => m.index !== null && m.name !== model.name
    && overview.matched.some(([a, b]) => [a, b].includes(m.name) && [a, b].includes(model.name))
    && !rows.some((row) => row.model.name === m.name));
  return (
    <section>
      <h2>Best matches in the other models</h2>
      <Table>
        <thead><tr><th>model</th><th class="text">feature</th><th>correlation</th><th class="text">class on the edge</th></tr></thead>
        <tbody>
          {rows.map(({ model: m, tint, j, r, rank }) => {
            const edge = rank === 0 && edges.find((e) => e.other === m.name);
            return (
              <tr>
                <th scope="row">{rank === 0 && <><span class="dot" style={{ background: tint }} />{m.name}</>}</th>
                <td class="text"><a href={featureHref(m.name, j)}>#{j}</a></td>
                <td class={isMatch(index, number, r, threshold) ? 'best' : ''}>{fixed(r, 3)}</td>
                <td class="text">{edge && <Class code={edge.classes[number]} />}</td>
              </tr>
            );
          })}
          {without.map((m) => {
            const edge = edges.find((e) => e.other === m.name);
            return (
              <tr>
                <th scope="row"><span class="dot" style={{ background: color(overview.models.indexOf(m)) }} />{m.name}</th>
                <td class="text muted">{index.measurable[number] === '1' ? 'none that is measurable' : 'none'}</td><td>–</td>
                <td class="text">{edge && <Class code={edge.classes[number]} />}</td>
              </tr>
            );
          })}
        </tbody>
      </Table>
      {threshold !== null && <p class="muted">Bold: at or above {fixed(threshold, 2)}, a match.{index.measurable[number] === '0' && ' This feature is too rare to be counted, whatever it correlates with.'}</p>}
      {served && <AllMatches {...{ overview, model, number }} />}
    </section>
  );
}

/** Both activations on tokens where either feature is active: those that the report has, more from a server. */
function Paired({ overview, own, other, stored }) {
  const key = served ? JSON.stringify([own.model.name, own.number, other.model.name, other.number]) : null;
  const { answer } = useAnswer(key, () => pairedOf(
    { model: own.model.name, feature: own.number }, { model: other.model.name, feature: other.number }));
  const rows = answer?.rows ?? stored?.[2];
  const points = answer?.points ?? (stored && pointsOf(stored[3], own.maximum, other.maximum));
  if (!points?.length) return null;
  const name = ({ model, number }) => `${model.name} #${number}`;
  return (
    <>
      <PointCloud points={points} xMax={own.maximum} yMax={other.maximum} color={color(overview.models.indexOf(other.model))}
        xLabel={name(own)} yLabel={name(other)} format={(v) => String(Number(v.toPrecision(2)))} title={`Activations of ${name(own)} and ${name(other)}`} />
      <p class="muted small">{points.length < rows
        ? `${count(points.length)} of the ${count(rows)} tokens on which either is active, more of the strong ones than of others`
        : `All ${count(rows)} tokens on which either is active`}</p>
    </>
  );
}

/** The best match in one other model, in short. */
function Card({ overview, model, number, r, threshold, vocabulary, own, paired }) {
  const chunks = [model.index, chunkOf(model.features, number)];
  const data = useChunks(model.texts === null ? chunks : [...chunks, model.texts]);
  if (!data) return <p class="muted">Decoding…</p>;
  const [index, features, texts] = data;
  const feature = features[number % kFeaturesPerChunk];
  const matched = own.measurable && threshold !== null && r >= threshold;
  const stored = paired?.find(([m, j]) => overview.models[m] === model && j === number);
  return (
    <>
      <h3>
        <span class="dot" style={{ background: color(overview.models.indexOf(model)) }} />{model.name}{' '}
        {r === null ? <span class="muted">#{number}, this feature</span> : <a href={featureHref(model.name, number)}>#{number}</a>}
      </h3>
      <p class="muted">
        {r !== null && <>r = <b class={matched ? 'matched' : ''}>{fixed(r, 3)}</b>{threshold !== null && (matched ? ', a match' : ', no match')}; </>}
        density {density(index.density[number])}
      </p>
      {texts && <Explanation said={explanationsOf(texts).get(number)} brief />}
      <p>{index.tokens[number].map((id) => <><Token text={vocabulary[id]} /> </>)}</p>
      {feature.examples.slice(0, 2).map(([, , peak, , tokens, levels]) => (
        <TokenText tokens={tokens} levels={spreadLevels(levels, tokens.length)} scale={index.max[number]} peak={peak} vocabulary={vocabulary} />
      ))}
      {r !== null && <Paired {...{ overview, own, stored }} other={{ model, number, maximum: index.max[number] }} />}
    </>
  );
}

/** The feature and its best match in every other model, beside each other. */
function Across({ overview, model, index, number, threshold, vocabulary, paired }) {
  const cards = overview.models.filter((m) => m.index !== null).map((m) => (m === model ? { model, number, r: null } : (() => {
    const best = bestOf(index, number, overview.models.indexOf(m));
    return best && { model: m, number: best[1], r: best[2] };
  })())).filter(Boolean);
  if (cards.length < 2) return null;
  return (
    <section>
      <h2>Across the family</h2>
      <div class="cards">
        {cards.map((card) => <div class="card" key={card.model.name}><Card {...{ overview, threshold, vocabulary, paired }} {...card} own={{ model, number, maximum: index.max[number], measurable: index.measurable[number] === '1' }} /></div>)}
      </div>
    </section>
  );
}

function Coactive({ model, feature, index, said }) {
  if (!feature.coactive?.length) return null;
  return (
    <section>
      <h2>Active on the same tokens</h2>
      <Table>
        <thead>
          <tr>
            <th scope="col">feature</th><th scope="col">tokens<br />of both</th>
            <th scope="col" title="tokens of both over tokens of either">of those<br />of either</th><th scope="col" class="text">explanation</th>
          </tr>
        </thead>
        <tbody>
          {feature.coactive.map(([j, both, share]) => (
            <tr>
              <th scope="row"><a href={featureHref(model.name, j)}>#{j}</a></th><td>{count(both)}</td><td>{percent(share, 0)}</td>
              <td class="text wide">{said.get(j)?.text ?? said.get(j)?.words ?? <span class="muted">density {density(index.density[j])}</span>}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </section>
  );
}

function Logits({ logits, vocabulary }) {
  if (!logits) return null;
  const rows = Array.from({ length: Math.max(logits[0].length, logits[1].length) }, (_, i) => i);
  return (
    <section>
      <h2>What it speaks for and against</h2>
      <p class="muted">Tokens by logit weight: the direct path from the feature to the output, the strongest first.</p>
      <Table>
        <thead><tr><th scope="col">promoted</th><th scope="col" class="text">suppressed</th></tr></thead>
        <tbody>
          {rows.map((i) => (
            <tr>
              {[0, 1].map((side) => <td class="text">{logits[side][i] !== undefined && <Token text={vocabulary[logits[side][i]]} />}</td>)}
            </tr>
          ))}
        </tbody>
      </Table>
    </section>
  );
}

export function Feature({ overview, route }) {
  const [name, number] = [route.parts[0], Number(route.parts[1])];
  const model = overview.models.find((m) => m.name === name && m.index !== null);
  if (!model || !Number.isInteger(number) || number < 0 || number >= model.feature_count) {
    return <p>There is no feature “{route.parts.join(' #')}” in this report.</p>;
  }
  return <Found overview={overview} model={model} number={number} />;
}

function Found({ overview, model, number }) {
  const chunks = featureChunks(overview, model, number);
  const more = [model.texts, model.paired.length ? chunkOf(model.paired, number) : null];
  const data = useChunks([...chunks, ...more.filter((n) => n !== null)]);
  const tint = color(overview.models.indexOf(model));
  const title = (
    <div class="title-row">
      <h1><span class="dot" style={{ background: tint }} />{model.name} <span class="muted">#{number}</span></h1>
      <a href={modelHref(model.name)}>all features of {model.name}</a>
      {number > 0 && <a href={featureHref(model.name, number - 1)} rel="prev">‹ #{number - 1}</a>}
      {number + 1 < model.feature_count && <a href={featureHref(model.name, number + 1)} rel="next">#{number + 1} ›</a>}
    </div>
  );
  if (!data) return <>{title}<p class="muted">Decoding…</p></>;
  const [index, features, vocabulary, ...others] = data;
  const texts = more[0] === null ? null : others.shift();
  const paired = others[0]?.[number % kFeaturesPerChunk];
  const feature = features[number % kFeaturesPerChunk];
  const bins = feature.histogram.length;
  const edges = edgesOf(model, index);
  const said = explanationsOf(texts);
  const threshold = overview.flow?.threshold ?? null;
  return (
    <>
      {title}
      {texts && <Explanation said={said.get(number)} />}
      <p>
        {edges.map((e) => <><Class code={e.classes[number]} /> {e.up ? 'from' : 'into'} {e.other}{'  '}</>)}
        {index.measurable[number] === '0' && <span class="muted">Too rare to be measured on this text.</span>}
      </p>
      <dl class="figures">
        <div><dt>active on tokens</dt><dd>{count(feature.active)}</dd></div>
        <div><dt>density</dt><dd>{density(index.density[number])}</dd></div>
        <div><dt>in documents</dt><dd>{index.documents.length ? count(index.documents[number]) : '–'}</dd></div>
        <div><dt>maximum</dt><dd>{fixed(index.max[number], 3)}</dd></div>
        <div><dt>mean where active</dt><dd>{fixed(feature.mean, 3)}</dd></div>
      </dl>
      <section>
        <h2>Top activating examples</h2>
        <Examples overview={overview} feature={feature} max={index.max[number]} vocabulary={vocabulary} />
      </section>
      <Across {...{ overview, model, index, number, threshold, vocabulary, paired }} />
      <div class="columns">
        <Matches {...{ overview, model, index, feature, edges, number, threshold }} />
        {feature.tokens.length > 0 && (
          <section>
            <h2>Tokens it is active on</h2>
            <Table>
              <thead>
                <tr><th>token</th><th title="share of the feature's summed activation on this token">share of activation</th>
                  <th title="log2 of that share over the token's share of the text">log-likelihood ratio</th></tr>
              </thead>
              <tbody>
                {feature.tokens.map(([id, share, bits]) => (
                  <tr><th scope="row"><Token text={vocabulary[id]} /></th><td>{percent(share)}</td><td>{fixed(bits, 2)} bits</td></tr>
                ))}
              </tbody>
            </Table>
          </section>
        )}
        {bins > 0 && (
          <section>
            <h2>Activations</h2>
            <Histogram edges={Array.from({ length: bins + 1 }, (_, i) => (index.max[number] * i) / bins)}
              counts={feature.histogram} color={tint} xLabel="activation" yLabel="tokens" xFormat={(v) => fixed(v, 2)}
              title={`How strong ${model.name} #${number} is where it is active`} />
          </section>
        )}
        <Coactive {...{ model, feature, index, said }} />
        <Logits logits={feature.logits} vocabulary={vocabulary} />
        {feature.corpora.length > 0 && (
          <section>
            <h2>Where it is active</h2>
            <Table>
              <thead><tr><th>corpus</th><th>active tokens</th><th>density</th><th>share of activation</th></tr></thead>
              <tbody>
                {feature.corpora.map(([corpus, active, rate, share]) => (
                  <tr><th scope="row">{overview.corpora[corpus]}</th><td>{count(active)}</td><td>{density(rate)}</td><td>{percent(share)}</td></tr>
                ))}
              </tbody>
            </Table>
          </section>
        )}
      </div>
    </>
  );
}
