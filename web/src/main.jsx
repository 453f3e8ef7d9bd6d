import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { Guard } from './guard.jsx';
import { useChunks } from './payload.js';
import { href, useRoute } from './router.js';
import { served } from './server.js';
import { Autoencoders } from './pages/autoencoders.jsx';
import { Cases } from './pages/cases.jsx';
import { Causal } from './pages/causal.jsx';
import { Explanations } from './pages/explanations.jsx';
import { Feature } from './pages/feature.jsx';
import { Features } from './pages/features.jsx';
import { Merge } from './pages/merge.jsx';
import { Overview } from './pages/overview.jsx';
import { Text } from './pages/text.jsx';
import { Training } from './pages/training.jsx';

const kPages = {
  overview: { title: 'Overview', view: Overview },
  merge: { title: 'Merge', view: Merge, when: (o) => o.sweeps.length || o.comparisons.length },
  training: { title: 'Training', view: Training, when: (o) => o.models.some((m) => m.training || m.evaluation) },
  autoencoders: { title: 'Autoencoders', view: Autoencoders, when: (o) => o.models.some((m) => m.autoencoder) },
  features: { title: 'Features', view: Features, when: (o) => o.models.some((m) => m.index !== null) },
  explanations: { title: 'Explanations', view: Explanations, when: (o) => o.models.some((m) => m.explanations?.summary && m.index !== null) },
  text: { title: 'Text', view: Text, when: (o) => o.samples.length || (served && o.models.some((m) => m.index !== null)) },
  cases: { title: 'Case studies', view: Cases, when: (o) => o.cases.length },
  causal: { title: 'Causal check', view: Causal, when: (o) => o.causal.length },
};
const kHidden = { feature: { title: 'Feature', view: Feature, under: 'features' } };

function Report() {
  const route = useRoute();
  const chunks = useChunks([0]);
  const key = JSON.stringify([route.page, route.parts]);
  useEffect(() => { scrollTo(0, 0); }, [key]);
  if (!chunks) return <p class="loading">Opening the report…</p>;
  const [overview] = chunks;
  const page = kPages[route.page] ?? kHidden[route.page];
  document.title = `${page ? page.title : 'Not found'} · ${overview.study} · FeatFlow`;
  const View = page?.view;
  return (
    <>
      <a class="skip" href={location.hash || '#/'} onClick={(e) => { e.preventDefault(); document.querySelector('main').focus(); }}>Skip to the content</a>
      <header>
        <div class="bar">
          <a class="brand" href={href('overview')}>FeatFlow <span>{overview.study}</span></a>
          <nav aria-label="Pages">
            {Object.entries(kPages).filter(([, p]) => !p.when || p.when(overview)).map(([name, p]) => (
              <a href={href(name)}
                aria-current={name === (page?.under ?? route.page) ? 'page' : undefined}>{p.title}</a>
            ))}
          </nav>
        </div>
      </header>
      <main tabindex="-1">
        <Guard at={key}>
          {View ? <View key={page.under ? key : route.page} overview={overview} route={route} />
            : <p>There is no page “{route.page}” in this report. <a href={href('overview')}>Overview</a></p>}
        </Guard>
      </main>
      <footer>
        {overview.facts.length > 0 && (
          <dl class="facts">
            {overview.facts.map(([name, value]) => <div><dt>{name}</dt><dd>{value}</dd></div>)}
          </dl>
        )}
        <p>{overview.budget.text}</p>
      </footer>
    </>
  );
}

render(<Guard at=""><Report /></Guard>, document.getElementById('app'));
