import { useState } from 'preact/hooks';
import { Histogram } from '../chart.jsx';
import { color, count, density, fixed, percent } from '../format.js';
import { featureChunks, kFeaturesPerChunk, useChunks } from '../payload.js';
import { featureHref, modelHref } from '../router.js';
import { spreadLevels, Token, TokenText } from '../token_text.jsx';
import { Class, edgesOf } from './features.jsx';

function Examples({ overview, feature, vocabulary }) {
  const [breaks, setBreaks] = useState(false);
  if (!feature.examples.length) return <p class="muted">It is active on no token of the matching text.</p>;
  return (
    <>
      <p>
        <button type="button" aria-pressed={breaks} onClick={() => setBreaks(!breaks)}>break lines at ↵</button>{' '}
        <span class="muted">The darker, the more active; the strongest token is underlined.</span>
      </p>
      <ol class="examples">
        {feature.examples.map(([corpus, document, peak, value, tokens, levels]) => (
          <li>
            <div class="from">
              <b>{fixed(value, 2)}</b><br />
              {[overview.corpora[corpus], document >= 0 && `document ${count(document)}`].filter(Boolean).join(', ')}
            </div>
            <TokenText tokens={tokens} levels={spreadLevels(levels, tokens.length)} scale={feature.max}
              peak={peak} vocabulary={vocabulary} breaks={breaks} />
          </li>
        ))}
      </ol>
    </>
  );
}

function Matches({ overview, model, feature, edges, threshold, number }) {
  const rows = feature.matches.flatMap(([other, pairs]) => pairs.map(([j, r], rank) => ({
    model: overview.models[other], tint: color(other), j, r, rank, of: pairs.length })));
  const without = overview.models.filter((m) => m.index !== null && m.name !== model.name
    && overview.matched.some(([a, b]) => [a, b].includes(m.name) && [a, b].includes(model.name))
    && !rows.some((row) => row.model.name === m.name));
  return (
    <section>
      <h2>Best matches in the other models</h2>
      <div class="scroll">
        <table>
          <thead><tr><th>model</th><th class="text">feature</th><th>correlation</th><th class="text">class on the edge</th></tr></thead>
          <tbody>
            {rows.map(({ model: m, tint, j, r, rank }) => {
              const edge = rank === 0 && edges.find((e) => e.other === m.name);
              return (
                <tr>
                  <th scope="row">{rank === 0 && <><span class="dot" style={{ background: tint }} />{m.name}</>}</th>
                  <td class="text"><a href={featureHref(m.name, j)}>#{j}</a></td>
                  <td class={r >= threshold ? 'best' : ''}>{fixed(r, 3)}</td>
                  <td class="text">{edge && <Class code={edge.classes[number]} />}</td>
                </tr>
              );
            })}
            {without.map((m) => {
              const edge = edges.find((e) => e.other === m.name);
              return (
                <tr>
                  <th scope="row"><span class="dot" style={{ background: color(overview.models.indexOf(m)) }} />{m.name}</th>
                  <td class="text muted">none above the floor</td><td>–</td>
                  <td class="text">{edge && <Class code={edge.classes[number]} />}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {threshold !== null && <p class="muted">Bold: at or above {fixed(threshold, 2)}, a match.</p>}
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
  const data = useChunks(featureChunks(overview, model, number));
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
  const [index, features, vocabulary] = data;
  const feature = features[number % kFeaturesPerChunk];
  const bins = feature.histogram.length;
  const edges = edgesOf(model, index);
  return (
    <>
      {title}
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
        <Examples overview={overview} feature={{ ...feature, max: index.max[number] }} vocabulary={vocabulary} />
      </section>
      <div class="columns">
        <Matches {...{ overview, model, feature, edges, number }} threshold={overview.flow?.threshold ?? null} />
        {feature.tokens.length > 0 && (
          <section>
            <h2>Tokens it is active on</h2>
            <div class="scroll">
              <table>
                <thead>
                  <tr><th>token</th><th title="share of the feature's summed activation on this token">share of activation</th>
                    <th title="log2 of that share over the token's share of the text">log-likelihood ratio</th></tr>
                </thead>
                <tbody>
                  {feature.tokens.map(([id, share, bits]) => (
                    <tr><th scope="row"><Token text={vocabulary[id]} /></th><td>{percent(share)}</td><td>{fixed(bits, 2)} bits</td></tr>
                  ))}
                </tbody>
              </table>
            </div>
          </section>
        )}
        {bins > 0 && (
          <section>
            <h2>Activations</h2>
            <Histogram edges={Array.from({ length: bins + 1 }, (_, i) => (index.max[number] * i) / bins)}
              counts={feature.histogram} color={tint} xLabel="activation" yLabel="tokens" xFormat={(v) => fixed(v, 2)}
              title="How strong the feature is where it is active" />
          </section>
        )}
        {feature.corpora.length > 0 && (
          <section>
            <h2>Where it is active</h2>
            <div class="scroll">
              <table>
                <thead><tr><th>corpus</th><th>active tokens</th><th>density</th><th>share of activation</th></tr></thead>
                <tbody>
                  {feature.corpora.map(([corpus, active, rate, share]) => (
                    <tr><th scope="row">{overview.corpora[corpus]}</th><td>{count(active)}</td><td>{density(rate)}</td><td>{percent(share)}</td></tr>
                  ))}
                </tbody>
              </table>
            </div>
          </section>
        )}
      </div>
    </>
  );
}
