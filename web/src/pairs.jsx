// Pairs of features to rate, one after another (src/report/pairs_page.hpp). The page knows neither
// where a pair comes from nor how well it correlates.
import { render } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { download } from './download.js';
import { percent } from './format.js';
import { Guard } from './guard.jsx';
import { useChunks } from './payload.js';
import { kRatings, ratingsCsv, useRatings } from './ratings.js';
import { spreadLevels, TokenText } from './token_text.jsx';

/** "strongest", or the interval of ranks by activation, "25–50%". */
function intervalName(interval, intervals) {
  if (interval === 0) return 'strongest';
  const edge = (i) => Math.round((100 * i) / intervals);
  return `${edge(interval - 1)}–${edge(interval)}%`;
}

/** Text with one feature's activations, and the same in words for those who do not see colours. */
function Shown({ example, levels, peak, vocabulary }) {
  const { tokens } = example;
  return (
    <TokenText tokens={tokens} levels={spreadLevels(levels, tokens.length)} scale={1}
      peak={peak ? example.peak : -1} vocabulary={vocabulary} format={(share) => percent(share, 0)} />
  );
}

function OwnExamples({ title, examples, intervals, vocabulary }) {
  return (
    <section aria-label={title}>
      <h2>{title}</h2>
      <ol class="examples">
        {examples.map((example) => (
          <li>
            <div class="from">{intervalName(example.interval, intervals)}</div>
            <Shown example={example} levels={example.levels} peak vocabulary={vocabulary} />
          </li>
        ))}
      </ol>
    </section>
  );
}

function SameText({ examples, vocabulary }) {
  return (
    <section>
      <h2>Both on the same text</h2>
      <table class="same">
        <thead><tr><th scope="col">Left</th><th scope="col">Right</th></tr></thead>
        <tbody>
          {examples.map((example) => (
            <tr>
              {['left', 'right'].map((side) => (
                <td>
                  <Shown example={example} levels={example[`${side}_levels`]} peak={example.peak_of === side}
                    vocabulary={vocabulary} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Pair({ pair, intervals, vocabulary }) {
  return (
    <>
      <div class="sides">
        <OwnExamples title="Left feature" examples={pair.left} {...{ intervals, vocabulary }} />
        <OwnExamples title="Right feature" examples={pair.right} {...{ intervals, vocabulary }} />
      </div>
      {pair.same_text.length > 0 && <SameText examples={pair.same_text} vocabulary={vocabulary} />}
    </>
  );
}

function Help() {
  return (
    <details>
      <summary>How to rate</summary>
      <p>
        Each feature is a detector inside a language model; two models, one feature of each. The darker a
        token, the more active the feature is on it, relative to its own maximum; the token that an example
        was chosen for is underlined. Examples are the strongest ones, and some from each interval of
        its active tokens by strength (0–25% is the strongest quarter). First see what each feature
        does by itself, then compare them on the same text. Do they detect the same thing?
      </p>
      <p>
        Keys: <kbd>1</kbd>–<kbd>4</kbd> rate and go on, <kbd>←</kbd> <kbd>→</kbd> move, <kbd>N</kbd> writes
        a note, <kbd>Esc</kbd> leaves it. What you say stays in this browser until you download it.
      </p>
    </details>
  );
}

function Rater({ overview }) {
  const { pairs, intervals } = overview;
  const { answers, at, kept, change, goTo } = useRatings(`featflow-${pairs[0].id}`);
  const number = Math.min(Math.max(at, 0), pairs.length - 1);
  const { id, chunk } = pairs[number];
  const chunks = useChunks([chunk, overview.vocabulary]);
  const [said, setSaid] = useState('');
  const heading = useRef(null), note = useRef(null);
  const rated = pairs.filter((p) => answers[p.id]?.rating).length;
  const moved = useRef(false);
  const show = (n) => {
    if (n < 0 || n >= pairs.length) return;
    moved.current = true;
    goTo(n);
  };
  // A new pair is read from its heading on, by eye and by ear.
  useEffect(() => {
    if (!moved.current) return;
    scrollTo(0, 0);
    heading.current.focus({ preventScroll: true });
  }, [number]);
  const rate = (rating) => {
    change(id, { rating });
    setSaid(`Pair ${number + 1}: ${rating}.`);
    show(number + 1);
  };

  useEffect(() => {
    const onKey = (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.target === note.current) {
        if (event.key === 'Escape') heading.current.focus({ preventScroll: true });
        return;
      }
      const rating = kRatings[Number(event.key) - 1];
      if (rating) rate(rating.rating);
      else if (event.key === 'ArrowRight') show(number + 1);
      else if (event.key === 'ArrowLeft') show(number - 1);
      else if (event.key.toLowerCase() === 'n') note.current.focus();
      else return;
      event.preventDefault();
    };
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  });

  return (
    <>
      <header>
        <div class="bar">
          <span class="brand">Pairs of features</span>
          <label class="progress">
            <progress value={rated} max={pairs.length} /> {rated} of {pairs.length} rated
          </label>
          <button type="button" onClick={() => download('ratings.csv', ratingsCsv(pairs.map((p) => p.id), answers))}>
            Download ratings.csv
          </button>
        </div>
      </header>
      <main>
        {!kept && <p class="warning" role="alert">This browser keeps nothing: download your ratings before you close the page.</p>}
        <div class="title-row">
          <h1 tabIndex={-1} ref={heading}>Pair {number + 1} of {pairs.length}</h1>
          {answers[id]?.rating && <span class="class">rated: {answers[id].rating}</span>}
          {rated === pairs.length && <strong>All pairs are rated: download them, please.</strong>}
        </div>
        <Help />
        {chunks ? <Pair key={id} pair={chunks[0]} intervals={intervals} vocabulary={chunks[1]} />
          : <p class="muted">Decoding…</p>}
        <p class="unseen" role="status">{said}</p>
      </main>
      <div class="answer">
        <div class="bar" role="group" aria-label="Do the two features detect the same?">
          <button type="button" disabled={number === 0} onClick={() => show(number - 1)} aria-label="Previous pair">‹</button>
          {kRatings.map(({ rating, means }, i) => (
            <button type="button" class="rating" aria-pressed={answers[id]?.rating === rating}
              aria-keyshortcuts={String(i + 1)} title={means} onClick={() => rate(rating)}>
              <kbd aria-hidden="true">{i + 1}</kbd> {rating}
            </button>
          ))}
          <button type="button" disabled={number === pairs.length - 1} onClick={() => show(number + 1)} aria-label="Next pair">›</button>
          <label class="note-field">
            Note
            <input ref={note} type="text" value={answers[id]?.note ?? ''} aria-keyshortcuts="n"
              onInput={(e) => change(id, { note: e.currentTarget.value })} />
          </label>
        </div>
      </div>
    </>
  );
}

function App() {
  const chunks = useChunks([0]);
  if (!chunks) return <p class="loading">Opening…</p>;
  if (!chunks[0].pairs.length) return <p class="loading">No pair of features lies in the bands that were asked for.</p>;
  return <Rater overview={chunks[0]} />;
}

document.title = 'Pairs of features · FeatFlow';
render(<Guard at=""><App /></Guard>, document.getElementById('app'));
