// Draws the figures of a run: node figures.mjs RUN OUT. See scripts/figures.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { artefacts, Mistake, readJson, readJsonLines, readSafetensors } from './stage_files.mjs';
import { color, curve, dash, grid, kInk, kSoft, legend, line, page, panel, rect, text, textWidth, ticks } from './svg.mjs';

const kWidth = 800;
const percent = (x, digits = 0) => `${(100 * x).toFixed(digits)}%`;
const edgeName = ({ parent, child }) => `${parent} → ${child}`;
const thousands = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ',');

/** Range of values with a little room, within `bounds`. */
function range(values, bounds = [-Infinity, Infinity]) {
  const low = Math.min(...values), high = Math.max(...values), room = 0.06 * (high - low || 1);
  return { low: Math.max(bounds[0], low - room), high: Math.min(bounds[1], high + room) };
}

/** The paper's Figure 5: accuracy of both texts over t. */
function mergeCurve(name, sweep) {
  const { a, b, base, curve: points, balance, baselines } = sweep;
  const interval = typeof balance.interval?.low === 'number' ? balance.interval : null;
  const sides = [{ key: 'a', of: a, tint: color(0) }, { key: 'b', of: b, tint: color(1) }];
  const lines = ['a', 'b', 'base'].filter((who) => baselines[who]);
  const values = [...points, ...lines.map((who) => baselines[who])].flatMap((p) => [p.accuracy_a, p.accuracy_b]);
  // The text of A in A's colour, of B in B's; who is measured on it by the dashes.
  const names = { a, b, base: base ?? 'base' }, dashes = { a: '9 4', b: '5 4', base: '2 3' };
  const key = legend([
    ...sides.map((s) => ({ name: `merge, on ${s.of}'s text`, color: s.tint })),
    ...lines.map((who) => ({ name: names[who], color: kSoft, dash: dashes[who], width: 1.5 })),
  ], 20, 56, kWidth - 40);
  const top = 50 + key.height;
  const p = panel({ left: 12, top, width: kWidth - 24, height: 380,
    x: { low: 0, high: 1, label: `t: 0 is ${a}, 1 is ${b}`, format: (t) => String(t) },
    y: { ...range(values, [0, 1]), label: 'accuracy of the next token', format: (v) => percent(v, 1) } });
  const parts = [...key.parts];
  if (interval) {
    parts.push(rect(p.x(interval.low), p.box.top, p.x(interval.high) - p.x(interval.low), p.box.bottom - p.box.top, { fill: '#e9ecf0' }));
  }
  parts.push(...p.parts);
  for (const { key: side, tint } of sides) {
    for (const who of lines) {
      const y = p.y(baselines[who][`accuracy_${side}`]);
      parts.push(line(p.box.left, y, p.box.right, y, { stroke: tint, 'stroke-width': 1.5, 'stroke-dasharray': dashes[who], opacity: 0.75 }));
    }
    parts.push(curve(p, points.map((q) => [q.t, q[`accuracy_${side}`]]), { stroke: tint, 'stroke-width': 2.5 }));
  }
  const at = p.x(balance.t), right = balance.t < 0.6;
  parts.push(line(at, p.box.top, at, p.box.bottom, { 'stroke-dasharray': '3 3' }));
  const label = `balance t = ${balance.t.toFixed(3)}${interval ? ` (95%: ${interval.low.toFixed(3)}–${interval.high.toFixed(3)})` : ''}`;
  parts.push(text(at + (right ? 7 : -7), p.box.top + 14, label, { 'text-anchor': right ? 'start' : 'end', 'font-weight': 600, stroke: '#fff', 'stroke-width': 4, 'paint-order': 'stroke' }));
  return page(kWidth, top + 390, `${name}: accuracy of the merge of ${a} and ${b} (${sweep.method})`,
    `Accuracy on the texts of ${a} and ${b} for every t; the balance point lies at t = ${balance.t.toFixed(3)}.`, parts);
}

/** The ceiling of one end of an edge at τ as a share; null if the study has not measured it. */
function ceilingOf({ verdict }, side, threshold) {
  return verdict?.[`${side}_features`].thresholds.find((t) => t.threshold === threshold)?.ceiling ?? null;
}

/** Persisting, disappearing and emerging features of every edge at τ, as shares of the measurable. */
function flowBars(flow) {
  const persisting = color(0), lost = color(1), emerging = '#e69f00';
  const edges = flow.family, names = edges.map(edgeName);
  const left = Math.min(300, 130 + Math.max(...names.map(textWidth)) * 0.62), right = kWidth - 30;
  const withCeiling = edges.some((e) => ['parent', 'child'].some((side) => ceilingOf(e, side, flow.threshold) !== null));
  const withInterval = edges.some((e) => e.cross_fit);
  const key = legend([
    { name: 'persisting', color: persisting, area: true }, { name: 'disappearing', color: lost, area: true },
    { name: 'emerging', color: emerging, area: true },
    ...(withInterval ? [{ name: 'cross-fitted, 95%', color: kInk }] : []),
    ...(withCeiling ? [{ name: 'ceiling: another seed', color: kInk, dash: '3 2' }] : []),
  ], 20, 56, kWidth - 40);
  const parts = [...key.parts];
  let y = 60 + key.height;
  const x = (share) => left + (right - left) * share;
  const top = y;
  for (const edge of edges) {
    const counts = edge.thresholds.find((t) => t.threshold === flow.threshold).exists;
    parts.push(text(20, y + 12, edgeName(edge), { 'font-weight': 600 }));
    const rows = [
      { side: 'parent', of: edge.parent_counts.measurable, kept: counts.persisting_parents, tint: lost, fit: edge.cross_fit?.a },
      { side: 'child', of: edge.child_counts.measurable, kept: counts.persisting_children, tint: emerging, fit: edge.cross_fit?.b },
    ];
    y += 20;
    for (const { side, of, kept, tint, fit } of rows) {
      const share = of ? kept / of : 0;
      parts.push(text(left - 8, y + 13, `${side === 'parent' ? edge.parent : edge.child}, ${thousands(of)}`, { 'text-anchor': 'end', fill: kSoft, 'font-size': 12 }));
      parts.push(rect(left, y, (right - left) * share, 18, { fill: persisting }), rect(x(share), y, right - x(share), 18, { fill: tint }));
      const label = (words, at, anchor, fill) => text(at, y + 13, words, { 'text-anchor': anchor, fill, 'font-size': 12 });
      parts.push(label(`${thousands(of - kept)}`, right - 6, 'end', tint === emerging ? kInk : '#fff'));
      const words = `${thousands(kept)} (${percent(share, 1)})`, fits = (right - left) * share > textWidth(words);
      parts.push(label(words, fits ? left + 6 : x(share) + 6, 'start', fits || tint !== emerging ? '#fff' : kInk));
      if (fit && fit.measurable > 0) {
        const [low, high] = [fit.low, fit.high].map((n) => x(n / fit.measurable));
        for (const [stroke, width] of [['#fff', 5], [kInk, 2]]) {
          parts.push(line(low, y + 20.5, high, y + 20.5, { stroke, 'stroke-width': width }));
          for (const end of [low, high]) parts.push(line(end, y + 17, end, y + 24, { stroke, 'stroke-width': width }));
        }
      }
      const ceiling = ceilingOf(edge, side, flow.threshold);
      if (ceiling !== null) parts.push(line(x(ceiling), y - 3, x(ceiling), y + 21, { 'stroke-width': 2, 'stroke-dasharray': '3 2' }));
      y += 27;
    }
    y += 12;
  }
  for (const share of ticks(0, 1, 5)) {
    parts.unshift(line(x(share), top, x(share), y, { stroke: '#edf0f3' }));
    parts.push(text(x(share), y + 14, percent(share), { 'text-anchor': 'middle', fill: kSoft, 'font-size': 12 }));
  }
  parts.push(text((left + right) / 2, y + 34, 'share of the measurable features', { 'text-anchor': 'middle', 'font-size': 12 }));
  return page(kWidth, y + 48, `Features along every edge, matched at r ≥ ${flow.threshold}`,
    'Persisting against disappearing features of each parent, and persisting against emerging ones of each child.', parts);
}

/** Parent share of every edge against τ; control edges dashed and grey. */
function shares(flow) {
  const edges = [
    ...flow.family.map((edge, i) => ({ edge, stroke: color(i), dash: dash(i), width: 2.5 })),
    ...(flow.controls ?? []).map((edge, i) => ({ edge, stroke: kSoft, dash: ['6 4', '2 3', '9 3 2 3'][i % 3], width: 2 })),
  ];
  const key = legend(edges.map(({ edge, stroke, dash: dashes }, i) => ({
    name: `${edgeName(edge)}${i < flow.family.length ? '' : ' (control)'}`, color: stroke, dash: dashes })), 20, 56, kWidth - 40);
  const top = 50 + key.height;
  const all = edges.flatMap(({ edge }) => edge.thresholds.map((t) => t.exists.parent_share ?? 0));
  const taus = edges.flatMap(({ edge }) => edge.thresholds.map((t) => t.threshold));
  const p = panel({ left: 12, top, width: kWidth - 24, height: 380,
    x: { low: Math.min(...taus), high: Math.max(...taus), label: 'threshold τ of the correlation', format: (v) => v.toFixed(1), ticks: ticks(Math.min(...taus), Math.max(...taus), 7) },
    y: { low: 0, high: Math.min(1, 1.05 * Math.max(...all, 0.01)), label: 'share of the parent’s measurable features that persist', format: (v) => percent(v) } });
  const parts = [...key.parts, ...p.parts];
  for (const { edge, stroke, dash: dashes, width } of edges) {
    parts.push(curve(p, edge.thresholds.filter((t) => t.exists.parent_share !== null)
      .map((t) => [t.threshold, t.exists.parent_share]), { stroke, 'stroke-width': width, 'stroke-dasharray': dashes }));
  }
  const at = p.x(flow.threshold);
  parts.push(line(at, p.box.top, at, p.box.bottom, { 'stroke-dasharray': '3 3' }));
  parts.push(text(at + 6, p.box.top + 14, `τ = ${flow.threshold}`, { 'font-weight': 600 }));
  return page(kWidth, top + 390, 'Persisting features against the threshold',
    'Share of each parent’s measurable features with a match in the child, for thresholds from 0.3 to 0.95.', parts);
}

/** Correlation of the best match of each measurable feature of a parent, edge by edge. */
function correlations(run, flow) {
  const kBins = 40;
  const histograms = flow.family.flatMap((edge) => {
    const file = join(run, 'matching', `${edge.parent}--${edge.child}`, 'matches.safetensors');
    if (!existsSync(file)) return [];
    const tensors = readSafetensors(file);
    const silent = new Set([...edge.parent_features.unmeasurable, ...edge.parent_features.silent]);
    const counts = new Array(kBins).fill(0);
    tensors['best_of_a.feature_a'].forEach((feature, i) => {
      const r = tensors['best_of_a.correlation'][i];
      if (!silent.has(feature)) ++counts[Math.min(kBins - 1, Math.max(0, Math.floor(r * kBins)))];
    });
    return [{ edge, counts }];
  });
  if (!histograms.length) return null;
  const { cells, height } = grid(histograms.length, { left: 8, top: 46, width: kWidth - 16, height: 230, columns: 2 });
  const high = 1.05 * Math.max(1, ...histograms.flatMap((h) => h.counts));
  const parts = histograms.flatMap(({ edge, counts }, i) => {
    const p = panel({ ...cells[i], title: edgeName(edge), x: { low: 0, high: 1, label: 'correlation of the best match' },
      y: { low: 0, high, label: 'features' } });
    const width = (p.x(1) - p.x(0)) / kBins;
    return [...p.parts, ...counts.map((n, k) => rect(p.x(k / kBins) + 0.5, p.y(n), width - 1, p.box.bottom - p.y(n), {
      fill: (k + 0.5) / kBins >= flow.threshold ? color(0) : '#9db8ca' })),
    line(p.x(flow.threshold), p.box.top, p.x(flow.threshold), p.box.bottom, { 'stroke-dasharray': '3 3' })];
  });
  return page(kWidth, 56 + height, `Best match of each measurable feature (dark: r ≥ ${flow.threshold})`,
    'Histograms of the correlation of each parent feature with its best partner in the child.', parts);
}

/** L0 and explained loss of every autoencoder. */
function autoencoders(rows) {
  const panels = [
    { title: 'L0: active features per token', value: [(e) => e.l0], high: null, format: (v) => v.toFixed(1), tints: [color(0)] },
    { title: 'explained loss', value: [(e) => e.explained_loss?.zero, (e) => e.explained_loss?.mean], high: 1,
      format: (v) => percent(v, 1), tints: [color(0), color(1)], names: ['zero ablation', 'mean ablation'] },
  ];
  const left = Math.min(240, 36 + Math.max(...rows.map((r) => textWidth(r.name))));
  const width = (kWidth - left - 20) / 2, step = 44, top = 92;
  const parts = rows.map((row, i) => text(left - 8, top + step * i + 17, row.name, { 'text-anchor': 'end' }));
  panels.forEach(({ title, value, high, format, tints, names }, k) => {
    const x0 = left + width * k + 8, span = width - 72;
    parts.push(text(x0, 60, title, { 'font-weight': 600 }));
    if (names) parts.push(...legend(names.map((name, i) => ({ name, color: tints[i], area: true })), x0, 79, width).parts);
    const scale = high ?? Math.max(...rows.flatMap((r) => value.map((f) => f(r.evaluation) ?? 0)), 1e-9);
    rows.forEach((row, i) => value.forEach((of, j) => {
      const v = of(row.evaluation), thick = value.length > 1 ? 14 : 20, y = top + step * i + (value.length > 1 ? 15 * j - 3 : 2);
      if (typeof v !== 'number') return;
      parts.push(rect(x0, y, span * Math.min(1, Math.max(0, v / scale)), thick, { fill: tints[j] }));
      parts.push(text(x0 + span * Math.min(1, Math.max(0, v / scale)) + 5, y + thick / 2 + 4, format(v), { 'font-size': 12 }));
    }));
  });
  return page(kWidth, top + step * rows.length + 8, 'Autoencoders on held-out text', 'L0 and explained loss of each autoencoder.', parts);
}

/** Means of runs of lines, so that a curve has at most `most` points. */
function thinned(points, most = 240) {
  const run = Math.ceil(points.length / most), out = [];
  for (let i = 0; i < points.length; i += run) {
    const part = points.slice(i, i + run), mean = (k) => part.reduce((sum, p) => sum + p[k], 0) / part.length;
    out.push([mean(0), mean(1)]);
  }
  return out;
}

/** Training loss and validation loss of each corpus, model by model. */
function training(models) {
  const corpora = [...new Set(models.flatMap((m) => m.validation.flatMap((v) => Object.keys(v.losses))))];
  const key = legend([{ name: 'training, mean of steps', color: '#9aa2ab' },
    ...corpora.map((name, i) => ({ name: `validation, ${name}`, color: color(i), dash: dash(i) }))], 20, 56, kWidth - 40);
  const top = 46 + key.height;
  const { cells, height } = grid(models.length, { left: 8, top, width: kWidth - 16, height: 250, columns: 2 });
  const panels = models.flatMap((model, i) => {
    const validation = corpora.map((name) => model.validation.filter((v) => v.losses[name]).map((v) => [v.tokens, v.losses[name].loss]));
    const points = [...model.steps, ...validation.flat()], tokens = Math.max(...points.map((q) => q[0]), 1);
    const p = panel({ ...cells[i], title: model.name,
      x: { low: 0, high: tokens, label: 'tokens', format: (v) => (v >= 1e6 ? `${v / 1e6}M` : v >= 1e3 ? `${v / 1e3}k` : String(v)) },
      y: { ...range(points.map((q) => q[1]), [0, Infinity]), label: 'loss, nats' } });
    return [...p.parts, curve(p, model.steps, { stroke: '#9aa2ab', 'stroke-width': 1.5 }),
      ...validation.flatMap((of, k) => [
        ...(of.length > 1 ? [curve(p, of, { stroke: color(k), 'stroke-dasharray': dash(k) })] : []),
        ...of.map(([x, y]) => `<circle cx="${p.x(x).toFixed(1)}" cy="${p.y(y).toFixed(1)}" r="2.5" fill="${color(k)}"/>`)])];
  });
  return page(kWidth, top + height + 8, 'Training', 'Training and validation loss of each model against the tokens it has read.', [...key.parts, ...panels]);
}

function trainedModel(run, name) {
  const lines = readJsonLines(join(run, 'model', name, 'metrics.jsonl'));
  const tokensAt = new Map(lines.filter((l) => l.loss !== undefined).map((l) => [l.step, l.tokens]));
  const first = lines.find((l) => l.loss !== undefined);
  const perStep = first ? first.tokens / Math.max(1, first.step) : 1;
  return {
    name,
    steps: thinned(lines.filter((l) => l.loss !== undefined).map((l) => [l.tokens, l.loss])),
    validation: lines.filter((l) => l.validation).map((l) => ({ tokens: tokensAt.get(l.step) ?? l.step * perStep, losses: l.validation })),
  };
}

/** [file, SVG or null] of all figures. */
function* figures(run) {
  for (const name of artefacts(run, 'sweep', 'sweep.json')) {
    yield [`merge-${name}.svg`, mergeCurve(name, readJson(join(run, 'sweep', name, 'sweep.json')))];
  }
  const flowFile = join(run, 'flow', 'flow', 'flow.json');
  if (existsSync(flowFile)) {
    const flow = readJson(flowFile);
    if (flow.family.length) {
      yield ['flow.svg', flowBars(flow)];
      yield ['shares.svg', shares(flow)];
      yield ['correlations.svg', correlations(run, flow)];
    }
  }
  const rows = artefacts(run, 'autoencoder_evaluation', 'evaluation.json').map((name) => (
    { name, evaluation: readJson(join(run, 'autoencoder_evaluation', name, 'evaluation.json')) }));
  if (rows.length) yield ['autoencoders.svg', autoencoders(rows)];
  const models = artefacts(run, 'model', 'metrics.jsonl').map((name) => trainedModel(run, name)).filter((m) => m.steps.length);
  if (models.length) yield ['training.svg', training(models)];
}

const [run, out] = process.argv.slice(2);
try {
  if (!existsSync(join(run, 'study.toml'))) {
    throw new Mistake(`${run}: not a run of FeatFlow (no study.toml in it); expected a folder made by featflow run`);
  }
  let written = 0;
  for (const [file, svg] of figures(run)) {
    if (svg === null) continue;
    mkdirSync(out, { recursive: true });
    writeFileSync(join(out, file), svg);
    console.log(join(out, file));
    ++written;
  }
  if (!written) throw new Mistake(`${run}: no stage that a figure is drawn from has run yet`);
} catch (error) {
  if (!(error instanceof Mistake) && !error.code) throw error;
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
