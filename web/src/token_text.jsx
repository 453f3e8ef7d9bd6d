// Text with activations: the darker a token, the more active the feature on it.
import { useState } from 'preact/hooks';
import { tokenPieces, fixed } from './format.js';

/** One token by itself, as in a table: all its white space visible. */
export function Token({ text }) {
  return (
    <code class="token">
      {text === '' ? <span class="mark">empty</span> : tokenPieces(text, true).map((piece) => (
        piece.mark ? <span class="mark">{piece.text}</span> : piece.text))}
    </code>
  );
}

export const kHighlight = '213, 94, 0';  // vermillion; strength is opacity, so it survives grey printing

/** For whom colours say nothing: the active tokens with their values. */
function spoken(tokens, levels, scale, vocabulary, format) {
  const active = tokens.flatMap((id, i) => (
    levels[i] ? [`${vocabulary[id]?.trim() || 'white space'} ${format((levels[i] / 255) * scale)}`] : []));
  return active.length ? `Active on: ${active.join(', ')}.` : 'Not active here.';
}

/**
 * tokens: ids; levels: Uint8Array or number[] in 0…255 of `scale`; peak: offset of the example's
 * strongest token. Line breaks end the line only if `breaks`. format: of the values that are spoken.
 */
export function TokenText({ tokens, levels, scale, peak, vocabulary, breaks, format = (v) => fixed(v, 2) }) {
  const [note, setNote] = useState(null);
  return (
    <div class="tokens" onMouseLeave={() => setNote(null)}>
      {tokens.map((id, i) => {
        const level = levels[i];
        const text = vocabulary[id] ?? `<${id}>`;
        const value = (level / 255) * scale;
        return (
          <span
            class={`tok${level ? ' on' : ''}${i === peak ? ' peak' : ''}`}
            style={level ? { backgroundColor: `rgba(${kHighlight}, ${0.08 + (0.72 * level) / 255})` } : null}
            title={level ? fixed(value, 3) : '0'}
            onMouseEnter={() => setNote({ text, value })}
          >
            {tokenPieces(text, level > 0 && text.trim() === '').map((piece) => (
              piece.mark === '↵'
                ? <><span class="mark">↵</span>{breaks ? <br /> : <wbr />}</>
                : piece.mark ? <span class="mark">{piece.text}</span> : piece.text))}
          </span>
        );
      })}
      <span class="unseen">{spoken(tokens, levels, scale, vocabulary, format)}</span>
      {note && <span class="note" role="status"><Token text={note.text} /> {fixed(note.value, 3)}</span>}
    </div>
  );
}

/** [offset, level, offset, level, …] → one level for each of n tokens. */
export function spreadLevels(pairs, n) {
  const levels = new Array(n).fill(0);
  for (let i = 0; i < pairs.length; i += 2) levels[pairs[i]] = pairs[i + 1];
  return levels;
}
