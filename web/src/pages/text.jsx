// A stretch of text, and everything that is active on each of its tokens.
import { useEffect, useRef } from 'preact/hooks';
import { color, count, fixed, plural, tokenPieces } from '../format.js';
import { explanationsOf, useChunks } from '../payload.js';
import { changeQuery, featureHref, href } from '../router.js';
import { kHighlight, Token } from '../token_text.jsx';

const named = (overview, sample) => (
  `${overview.corpora[sample.corpus] ?? 'text'}, document ${count(sample.document)}`);

/** Level of a feature on every token; 0 where it is off. */
const levelsOf = (active, feature) => active.map((pairs) => {
  for (let i = 0; pairs && i < pairs.length; i += 2) if (pairs[i] === feature) return pairs[i + 1];
  return 0;
});

/** The text as a list of which one token is chosen, by mouse or by arrow keys. */
function Tokens({ tokens, vocabulary, levels, chosen, choose }) {
  const ref = useRef(null);
  useEffect(() => {
    ref.current.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  const onKeyDown = (e) => {
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, Home: 0, End: tokens.length - 1 }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    choose(Math.min(tokens.length - 1, Math.max(0, to)));
  };
  return (
    <div class="tokens chooser" role="listbox" tabindex="0" aria-label="Tokens; arrow keys choose one" aria-orientation="horizontal"
      aria-activedescendant={`token-${chosen}`} onKeyDown={onKeyDown} ref={ref}>
      {tokens.map((id, i) => {
        const text = vocabulary[id] ?? `<${id}>`, level = levels?.[i] ?? 0;
        return (
          <>
            <span role="option" id={`token-${i}`} aria-selected={i === chosen} class={`tok${level ? ' on' : ''}`} onClick={() => choose(i)}
              style={level ? { backgroundColor: `rgba(${kHighlight}, ${0.08 + (0.72 * level) / 255})` } : null}>
              {tokenPieces(text, text.trim() === '').map((piece) => (piece.mark ? <span class="mark">{piece.text}</span> : piece.text))}
            </span>
            {text.includes('\n') && <br />}
          </>
        );
      })}
    </div>
  );
}

function Active({ overview, model, index, said, pairs, vocabulary, marked, mark }) {
  const rows = [];
  for (let i = 0; pairs && i < pairs.length; i += 2) rows.push([pairs[i], pairs[i + 1]]);
  return (
    <section aria-label={`Active in ${model.name}`}>
      <h3><span class="dot" style={{ background: color(overview.models.indexOf(model)) }} />{model.name}</h3>
      <p class="muted">{pairs === null ? 'This token was not encoded.' : `${plural(rows.length, 'active feature')}, the nearest to its own maximum first`}</p>
      <ul class="active">
        {rows.map(([j, level]) => (
          <li key={j}>
            <a href={featureHref(model.name, j)}>#{j}</a>
            <button type="button" aria-pressed={marked === j} onClick={() => mark(marked === j ? null : j)}
              title="Show in the text" aria-label={`Show ${model.name} #${j} in the text`}>
              <span class="meter" style={{ width: `${(100 * level) / 255}%`, background: color(overview.models.indexOf(model)) }} />
            </button>
            <span class="value">{fixed((level / 255) * index.max[j], 2)}</span>
            <span class="about">{said.get(j)?.text ?? said.get(j)?.words ?? index.tokens[j].map((id) => <><Token text={vocabulary[id]} /> </>)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Sample({ overview, sample, route }) {
  const chunkOf = (n) => (n === null ? [] : [n]);
  const models = overview.models.filter((m) => m.index !== null);
  const numbers = [sample.chunk, overview.vocabulary, ...models.flatMap((m) => [m.index, ...chunkOf(m.texts)])];
  const data = useChunks(numbers);
  if (!data) return <p class="muted">Decoding…</p>;
  const chunk = (number) => data[numbers.indexOf(number)];
  const [{ tokens, models: active }, vocabulary] = data;
  const chosen = Math.min(tokens.length - 1, Math.max(0, Number(route.query.get('token') ?? 1) || 0));
  const [markedModel, markedFeature] = (route.query.get('feature') ?? '').split(/:(\d+)$/);
  const change = (changes) => changeQuery(route, changes);
  const shown = active.map(([i, byToken]) => ({ model: overview.models[i], byToken })).filter(({ model }) => model.index !== null);
  const highlighted = shown.find(({ model }) => model.name === markedModel);
  return (
    <>
      <p class="muted">
        Choose a token to see what is active on it, in every model. A bar shows how near a feature is to its own maximum; press it to see the
        feature along the text{highlighted ? <>: now <a href={featureHref(markedModel, markedFeature)}>{markedModel} #{markedFeature}</a>{' '}
          <button type="button" onClick={() => change({ feature: '' })}>clear</button></> : '.'}
      </p>
      <Tokens {...{ tokens, vocabulary, chosen }} choose={(token) => change({ token })}
        levels={highlighted && levelsOf(highlighted.byToken, Number(markedFeature))} />
      <h2 aria-live="polite">On <Token text={vocabulary[tokens[chosen]]} /> <span class="muted">token {chosen + 1} of {tokens.length}</span></h2>
      <div class="cards">
        {shown.map(({ model, byToken }) => (
          <div class="card" key={model.name}>
            <Active {...{ overview, model, vocabulary }} index={chunk(model.index)} said={explanationsOf(model.texts === null ? null : chunk(model.texts))}
              pairs={byToken[chosen]} marked={markedModel === model.name ? Number(markedFeature) : null}
              mark={(j) => change({ feature: j === null ? '' : `${model.name}:${j}` })} />
          </div>
        ))}
      </div>
    </>
  );
}

export function Text({ overview, route }) {
  const number = Number(route.parts[0] ?? 0);
  const sample = overview.samples[number];
  return (
    <>
      <h1>Text</h1>
      <nav class="tabs" aria-label="Samples">
        {overview.samples.map((s, i) => (
          <a href={href('text', [i])} aria-current={i === number ? 'page' : undefined}>{named(overview, s)}</a>
        ))}
      </nav>
      {sample ? <Sample key={number} overview={overview} sample={sample} route={{ ...route, page: 'text', parts: [number] }} />
        : <p>There is no sample “{route.parts[0]}” in this report.</p>}
    </>
  );
}
