// What is said of a feature, and how well it predicts the feature.
import { fixed } from './format.js';

const kLanguageModel = [['simulation', 'simulated'], ['detection', 'detection'], ['fuzzing', 'fuzzing']];

/** said: as explanationsOf gives it, or undefined. */
export function Explanation({ said, brief }) {
  if (!said) return brief ? null : <p class="muted">No explanation was looked for, or none was found.</p>;
  return (
    <div class={brief ? 'explanation brief' : 'explanation'}>
      {said.text !== undefined && (
        <p>
          {said.text}{' '}
          <span class="muted">
            {said.group && <><span class="class">{said.group}</span>{' '}</>}
            score <b>{fixed(said.score)}</b>{brief ? '' : `, of ranks ${fixed(said.spearman)}`};
            {' '}token identity alone {fixed(said.tokenScore)}
          </span>
        </p>
      )}
      {said.words !== undefined && (
        <p>
          {!brief && <span class="muted">a language model says: </span>}“{said.words}”{' '}
          <span class="muted">
            {kLanguageModel.filter(([key]) => said[key] !== null && said[key] !== undefined)
              .map(([key, name]) => `${name} ${fixed(said[key])}`).join(', ')}
          </span>
        </p>
      )}
    </div>
  );
}
