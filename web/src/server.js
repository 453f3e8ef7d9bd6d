// What only a served report can do: `featflow serve` marks the page and answers these. A report from a
// file, or from any other server, asks nothing of anyone.
import { useEffect, useState } from 'preact/hooks';

export const served = document.querySelector('meta[name="featflow-served"]') !== null;

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error('The server does not answer. Does `featflow serve` still run?');
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** [{model, tokens: [{text, features: [[feature, value]…] strongest first}…]}…] of a text. */
export const annotate = async (text) => (await ask('/api/annotate', {
  method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ text }),
})).models;

/** {answer, error}, both null while it is waited for; a key of null asks nothing. */
export function useAnswer(key, question) {
  const [state, setState] = useState({ key: null, answer: null, error: null });
  useEffect(() => {
    if (key === null) return undefined;
    let current = true;
    question().then((answer) => current && setState({ key, answer, error: null }),
      (error) => current && setState({ key, answer: null, error }));
    return () => { current = false; };
  }, [key]);
  return state.key === key ? state : { answer: null, error: null };
}

const named = (model, feature) => `${encodeURIComponent(model)}/${feature}`;

/** [{model, feature, r}…]: every partner of a feature above the floor of the matches, the best first. */
export const matchesOf = async (model, feature) => (await ask(`/api/matches/${named(model, feature)}`)).matches;

/** {rows, points: [[a, b]…]} of two features on the tokens where either is active. */
export const pairedOf = (a, b) => ask(`/api/paired/${named(a.model, a.feature)}/${named(b.model, b.feature)}`);
