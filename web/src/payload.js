// The report's data: gzip + base64 in <script id="chunk-N">, decoded when first asked for.
// The layout of every chunk is written down in src/report/payload.hpp.
import { useEffect, useState } from 'preact/hooks';

const decoded = new Map();

async function decode(number) {
  const element = document.getElementById(`chunk-${number}`);
  if (!element) throw new Error(`The report is incomplete: chunk ${number} is missing.`);
  if (typeof DecompressionStream === 'undefined') {
    throw new Error('This browser is too old: Chrome 80, Firefox 113 or Safari 16.4 is needed.');
  }
  const bytes = Uint8Array.from(atob(element.textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).json();
}

export function loadChunk(number) {
  if (!decoded.has(number)) decoded.set(number, decode(number));
  return decoded.get(number);
}

/** [data or null while loading] of several chunks; rejections go to the nearest error screen. */
export function useChunks(numbers) {
  const key = numbers.join(',');
  const [state, setState] = useState({ key: '', data: null, error: null });
  useEffect(() => {
    let current = true;
    Promise.all(numbers.map(loadChunk)).then(
      (data) => current && setState({ key, data, error: null }),
      (error) => current && setState({ key, data: null, error }),
    );
    return () => { current = false; };
  }, [key]);
  if (state.error) throw state.error;
  return state.key === key ? state.data : null;
}

export const kFeaturesPerChunk = 256;

/** Of the chunks that hold 256 features each, the one with this feature. */
export const chunkOf = (chunks, feature) => chunks[Math.floor(feature / kFeaturesPerChunk)];

/** [[a, b]…] of the letters of a plot (src/report/paired_activations.hpp). */
export function pointsOf(letters, maximumA, maximumB) {
  const share = (i) => (letters.charCodeAt(i) - 48) / 64;
  return Array.from({ length: letters.length / 2 }, (_, i) => [share(2 * i) * maximumA, share(2 * i + 1) * maximumB]);
}

/** The chunks of a feature's page: its model's index, its own 256 features, the vocabulary. */
export function featureChunks(overview, model, feature) {
  return [model.index, chunkOf(model.features, feature), overview.vocabulary];
}

/** What is said of a model's features, by feature: {text, score, …} of the rules, {words, …} of a model. */
export function explanationsOf(texts) {
  const by = new Map();
  for (const [feature, text, score, spearman, tokenScore, group] of texts?.features ?? []) {
    by.set(feature, { text, score, spearman, tokenScore, group });
  }
  for (const [feature, words, simulation, detection, fuzzing] of texts?.language_model ?? []) {
    by.set(feature, { ...by.get(feature), words, simulation, detection, fuzzing });
  }
  return by;
}
