// A stretch of text, and everything that is active on each of its tokens.
import { useEffect, useRef, useState } from 'preact/hooks';
import { color, count, fixed, plural, tokenPieces } from '../format.js';
import { explanationsOf, useChunks } from '../payload.js';
import { changeQuery, featureHref, href } from '../router.js';
import { annotate, served, useAnswer } from '../server.js';
import { kHighlight, Token } from '../token_text.jsx';

const kOwn = 'own';                // the sample that is the reader's own text
const kLongestInAddress = 4000;    // characters: some programs cut longer addresses

const named = (overview, sample) => (
  `${overview.corpora[sample.corpus] ?? 'text'}, document ${count(sample.document)}`);

/** Value of a feature on every token, as a share of its maximum; 0 where it is off. */
const sharesOf = (active, feature, maximum) => active.map((pairs) => {
  const found = pairs?.find(([j]) => j === feature);
  return found ? Math.min(1, found[1] / maximum) : 0;
});

/** The text as a list of which one token is chosen, by mouse or by arrow keys. */
function Tokens({ tokens, shares, chosen, choose }) {
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
      {tokens.map((text, i) => {
        const share = shares?.[i] ?? 0;
        return (
          <>
            <span role="option" id={`token-${i}`} aria-selected={i === chosen} class={`tok${share ? ' on' : ''}`} onClick={() => choose(i)}
              style={share ? { backgroundColor: `rgba(${kHighlight}, ${0.08 + 0.72 * share})` } : null}>
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
  const share = ([j, value]) => (index.max[j] > 0 ? Math.min(1, value / index.max[j]) : 1);
  const rows = [...(pairs ?? [])].sort((x, y) => share(y) - share(x) || x[0] - y[0]);
  return (
    <section aria-label={`Active in ${model.name}`}>
      <h3><span class="dot" style={{ background: color(overview.models.indexOf(model)) }} />{model.name}</h3>
      <p class="muted">{pairs === null ? 'This token was not encoded.' : `${plural(rows.length, 'active feature')}, the nearest to its own maximum first`}</p>
      <ul class="active">
        {rows.map(([j, value]) => (
          <li key={j}>
            <a href={featureHref(model.name, j)}>#{j}</a>
            <button type="button" aria-pressed={marked === j} onClick={() => mark(marked === j ? null : j)}
              title="Show in the text" aria-label={`Show ${model.name} #${j} in the text`}>
              <span class="meter" style={{ width: `${100 * share([j, value])}%`, background: color(overview.models.indexOf(model)) }} />
            </button>
            <span class="value">{fixed(value, 2)}</span>
            <span class="about">{said.get(j)?.text ?? said.get(j)?.words ?? index.tokens[j].map((id) => <><Token text={vocabulary[id]} /> </>)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What every page of text needs of the models: [{model, index, said}], or null while it is decoded. */
function useModels(overview, others = []) {
  const models = overview.models.filter((m) => m.index !== null);
  const numbers = [...others, overview.vocabulary, ...models.flatMap((m) => (m.texts === null ? [m.index] : [m.index, m.texts]))];
  const data = useChunks(numbers);
  if (!data) return null;
  const chunk = (number) => data[numbers.indexOf(number)];
  return {
    others: others.map(chunk), vocabulary: chunk(overview.vocabulary),
    models: models.map((model) => ({ model, index: chunk(model.index), said: explanationsOf(model.texts === null ? null : chunk(model.texts)) })),
  };
}

/** tokens: [text]; active: Map of a model's name → by token [[feature, value]…], or null where it was not encoded. */
function Annotated({ overview, tokens, active, models, vocabulary, route }) {
  const chosen = Math.min(tokens.length - 1, Math.max(0, Number(route.query.get('token') ?? 1) || 0));
  const [markedModel, markedFeature] = (route.query.get('feature') ?? '').split(/:(\d+)$/);
  const change = (changes) => changeQuery(route, changes);
  const shown = models.filter(({ model }) => active.has(model.name));
  const highlighted = shown.find(({ model }) => model.name === markedModel);
  return (
    <>
      <p class="muted">
        Choose a token to see what is active on it, in every model. A bar shows how near a feature is to its own maximum; press it to see the
        feature along the text{highlighted ? <>: now <a href={featureHref(markedModel, markedFeature)}>{markedModel} #{markedFeature}</a>{' '}
          <button type="button" onClick={() => change({ feature: '' })}>clear</button></> : '.'}
      </p>
      <Tokens tokens={tokens} chosen={chosen} choose={(token) => change({ token })}
        shares={highlighted && sharesOf(active.get(markedModel), Number(markedFeature), highlighted.index.max[markedFeature])} />
      <h2 aria-live="polite">On <Token text={tokens[chosen]} /> <span class="muted">token {chosen + 1} of {tokens.length}</span></h2>
      <div class="cards">
        {shown.map(({ model, index, said }) => (
          <div class="card" key={model.name}>
            <Active {...{ overview, model, index, said, vocabulary }} pairs={active.get(model.name)[chosen]}
              marked={markedModel === model.name ? Number(markedFeature) : null}
              mark={(j) => change({ feature: j === null ? '' : `${model.name}:${j}` })} />
          </div>
        ))}
      </div>
    </>
  );
}

function Sample({ overview, sample, route }) {
  const data = useModels(overview, [sample.chunk]);
  if (!data) return <p class="muted">Decoding…</p>;
  const [{ tokens, models: levels }] = data.others;
  const index = new Map(data.models.map((m) => [m.model.name, m.index]));
  const active = new Map();
  for (const [i, byToken] of levels) {
    const { name } = overview.models[i];
    if (!index.has(name)) continue;
    active.set(name, byToken.map((pairs) => pairs && Array.from({ length: pairs.length / 2 }, (_, k) => (
      [pairs[2 * k], (pairs[2 * k + 1] / 255) * index.get(name).max[pairs[2 * k]]]))));
  }
  return <Annotated {...{ overview, active, route }} {...data} tokens={tokens.map((id) => data.vocabulary[id] ?? `<${id}>`)} />;
}

/** A text of the reader's own, which stands in the address. */
function OwnText({ overview, route }) {
  const text = route.query.get('text') ?? '';
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  const data = useModels(overview);
  const [asked, setAsked] = useState(0);  // times, so that the same text can be asked again
  const { answer, error } = useAnswer(text === '' ? null : `${asked}:${text}`, () => annotate(text));
  const submit = () => {
    setAsked(asked + 1);
    changeQuery(route, { text: typed, token: '0', feature: '' });
  };
  if (!data) return <p class="muted">Decoding…</p>;
  const tokens = answer?.[0]?.tokens.map((token) => token.text) ?? [];
  return (
    <>
      <form class="own" onSubmit={(e) => { e.preventDefault(); submit(); }}>
        <label>
          Your text
          <textarea rows="5" value={typed} spellcheck={false} onInput={(e) => setTyped(e.currentTarget.value)} placeholder="local x = nil"
            onKeyDown={(e) => { if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); submit(); } }} />
        </label>
        <button type="submit" disabled={typed === ''}>Show what is active</button>{' '}
        <span class="muted">or Ctrl-Enter{typed.length > kLongestInAddress ? '; this text is too long for a link that can be shared' : ''}</span>
      </form>
      <div role="status">
        {error && <p class="warning">{error.message}</p>}
        {text !== '' && !answer && !error && <p class="muted">The models read it…</p>}
        {answer && tokens.length === 0 && <p>This text has no tokens.</p>}
      </div>
      {tokens.length > 0 && (
        <Annotated {...{ overview, tokens, route }} {...data} active={new Map(answer.map((m) => [m.model, m.tokens.map((token) => token.features)]))} />
      )}
    </>
  );
}

export function Text({ overview, route }) {
  const own = route.parts[0] === kOwn || (served && route.parts[0] === undefined);
  const number = Number(route.parts[0] ?? 0);
  const sample = overview.samples[number];
  const at = (part) => ({ ...route, page: 'text', parts: [part] });
  return (
    <>
      <h1>Text</h1>
      <nav class="tabs" aria-label="Samples">
        {served && <a href={href('text', [kOwn])} aria-current={own ? 'page' : undefined}>your own text</a>}
        {overview.samples.map((s, i) => (
          <a href={href('text', [i])} aria-current={!own && i === number ? 'page' : undefined}>{named(overview, s)}</a>
        ))}
      </nav>
      {own && served ? <OwnText overview={overview} route={at(kOwn)} />
        : own ? <p>A text of your own needs the models: open this report with <code>featflow serve</code>.</p>
          : sample ? <Sample key={number} overview={overview} sample={sample} route={at(number)} />
            : <p>There is no sample “{route.parts[0]}” in this report.</p>}
    </>
  );
}
