// What a rater has said so far: kept by the browser under the name of the export, downloaded as CSV.
import { useCallback, useState } from 'preact/hooks';
import { csv } from './download.js';

/** The same words as kPairRatings of src/matching/pair_ratings.hpp. */
export const kRatings = [
  { rating: 'same', means: 'one description fits both' },
  { rating: 'similar', means: 'related, but not the same' },
  { rating: 'different', means: 'two descriptions' },
  { rating: 'cannot tell', means: 'no pattern in one or both' },
];

/** {answers {id: {rating, note}}, at: number of the pair last shown}, or nothing of it. */
function stored(name) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? {};
  } catch {
    return {};  // no storage, or none of ours: the ratings live as long as the page
  }
}

/** {answers, at, kept: whether the browser keeps them, change(id, {rating} or {note}), goTo(number)}. */
export function useRatings(name) {
  const [{ answers, at, kept }, set] = useState(() => {
    const before = stored(name);
    return { answers: before.answers ?? {}, at: before.at ?? 0, kept: true };
  });
  const update = useCallback((next) => set((state) => {
    const { kept: _, ...content } = { ...state, ...next(state) };
    let saved = true;
    try {
      localStorage.setItem(name, JSON.stringify(content));
    } catch {
      saved = false;
    }
    return { ...content, kept: saved };
  }), [name]);
  const change = (id, part) => update((s) => ({ answers: { ...s.answers, [id]: { ...s.answers[id], ...part } } }));
  return { answers, at, kept, change, goTo: (n) => update(() => ({ at: n })) };
}

export const ratingsCsv = (ids, answers) => csv([['id', 'rating', 'note'],
  ...ids.map((id) => [id, answers[id]?.rating ?? '', answers[id]?.note ?? ''])]);
