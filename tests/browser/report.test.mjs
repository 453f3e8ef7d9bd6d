// Opens a report in headless Chromium from its file, offline, and walks through it.
//   REPORT=report.html [SCREENSHOTS=folder] [CHROMIUM=/usr/bin/chromium] npm test
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkWidth, markAnActiveFeature, pageOpener, plainText, shoot } from './browser.mjs';

assert.ok(process.env.REPORT, 'REPORT names the report to open');
const open = pageOpener(process.env.REPORT);

async function settled(page) {
  await page.waitForFunction(() => document.querySelector('main h1')
    && !/Decoding…|Opening the report/.test(document.getElementById('app').textContent));
}

for (const width of [1280, 800]) {
  test(`every page at ${width} px`, async () => {
    const { page, faults } = await open(width);
    const links = await page.$$eval('header nav a', (as) => as.map((a) => a.getAttribute('href')));
    assert.ok(links.length >= 2, 'the report has pages');
    for (const link of links) {
      await page.click(`header nav a[href="${link}"]`);
      await settled(page);
      assert.equal(await page.getAttribute('header nav a[aria-current]', 'href'), link);
      assert.equal(await page.$('[role=alert]'), null, `${link} shows an error`);
      assert.doesNotMatch(await page.textContent('main'), /undefined|NaN|\[object/, link);
      await checkWidth(page, link);
      await shoot(page, link.replace('#/', ''), width);
    }

    // From the list to a feature and on to its best match in another model.
    await page.click('header nav a[href="#/features"]');
    await settled(page);
    await page.click('table.features tbody tr a');
    await settled(page);
    assert.ok((await page.$$('.examples li')).length > 0, 'a feature has examples');
    assert.ok((await page.$$('.examples .tok.on')).length > 0, 'active tokens are highlighted');
    assert.doesNotMatch(await page.textContent('main'), /undefined|NaN|\[object/);
    await checkWidth(page, 'feature');
    await shoot(page, 'feature', width);
    const match = await page.$('.columns a[href^="#/feature/"]');
    if (match) {
      const target = await match.getAttribute('href');
      await match.click();
      await settled(page);
      assert.ok((await page.evaluate(() => location.hash)) === target, 'the match opens');
    }
    assert.deepEqual(faults, []);
  });
}

/** The rows of the table with this caption, a list of cells each; a heading row is one cell. */
const tableRows = (page, caption) => page.$$eval('main table', (tables, start) => {
  const table = tables.find((t) => t.caption?.textContent.trim().startsWith(start));
  return table && [...table.tBodies].flatMap((body) => [...body.rows].map((row) => [...row.cells].map((c) => c.textContent.trim())));
}, caption);

test('the overview says what makes its shares believable', async () => {
  const { page, faults } = await open(1280);
  const shares = await tableRows(page, 'Cross-fitted shares');
  assert.deepEqual(shares.map((row) => row[0]), ['Base → Lua', 'Base', 'Lua']);
  for (const [, share, ceiling, conditional] of shares.slice(1)) {
    for (const cell of [share, ceiling, conditional.replace(/without a change: .*/, '')]) {
      assert.match(cell, /^(–|\d+\.\d% \(\d+\.\d–\d+\.\d\)all rows: \d+ of \d+)$/);
    }
  }
  assert.match(shares[1][3], /without a change: \d+\.\d%$/, 'of the parent, a third autoencoder says what it would be');
  assert.doesNotMatch(shares[2][3], /without a change/);
  assert.match(shares[1][4], /^\d+\.\d%$/, 'the seed alone is known of the parent');
  assert.equal(shares[2][4], '–');

  // The verdicts are a partition of all features, on either side.
  const verdicts = (await tableRows(page, 'Features by verdict')).slice(1);
  const counts = verdicts.map((row) => row.slice(2).map((cell) => Number(/^[\d,]+/.exec(cell)[0].replace(',', ''))));
  const all = counts.map((row) => row.reduce((sum, n) => sum + n, 0));
  assert.ok(all[0] > 0 && all.every((n) => n === all[0]), `${all}: both autoencoders have as many features`);
  assert.match(verdicts[0][3], /disappeared$/);
  assert.match(verdicts[1][3], /emerged$/);
  const bars = await page.$$eval('svg.verdicts', (svgs) => svgs.map((svg) => (
    [...svg.querySelectorAll('rect')].reduce((sum, r) => sum + Number(r.getAttribute('width')), 0))));
  assert.equal(bars.length, 2);
  for (const width of bars) assert.ok(Math.abs(width - 100) < 1e-6, 'the bar is full');

  const nulls = await tableRows(page, 'Matches, and what each null');
  for (const name of ['chance, Base', 'the token, Lua', 'an untrained model, Base']) {
    const row = nulls.find((r) => r[0] === name);
    assert.ok(row, `the null "${name}" is there`);
    assert.ok(Number(row[4]) <= Number(row[3]), 'no more are significant than match');
  }
  await page.click('summary:has-text("By density")');
  assert.ok((await tableRows(page, 'Best correlations under each null')).length >= nulls.length - 1);

  const controls = await tableRows(page, 'Shares of measurable features with a match');
  assert.equal(controls[0][0], 'Base – Untrained');
  assert.match(controls[0][1], /random weights/);
  assert.ok(await page.$('.small-multiples circle.ring'), 'chance is drawn');
  assert.ok(await page.$('.small-multiples path[stroke-dasharray]'), 'the ceiling is drawn');
  assert.deepEqual(faults, []);
});

test('the merge has its interval and the other methods', async () => {
  const { page, faults } = await open(1280);
  await page.click('header nav a[href="#/merge"]');
  await settled(page);
  assert.ok(await page.$('.chart svg rect.band'), 'the interval is a band');
  assert.match(await page.textContent('main'), /balance points found lie between \d\.\d{3} and \d\.\d{3}/);
  const methods = await tableRows(page, 'Methods at their balance points');
  assert.deepEqual(methods.map((row) => row[0].split(/ \(|this/)[0]),
    ['slerp', 'linear', 'ties', 'Base, unmerged', 'Lua, unmerged', 'Stories, unmerged']);
  for (const row of methods.slice(0, 3)) {
    assert.match(row[1], /^0\.\d{3}0\.\d{3}–0\.\d{3}$/);
    assert.match(row[6], /^\d+\.\d%\d+ of \d+/);
  }
  assert.equal(await page.$$eval('.small-multiples svg[role=img]', (svgs) => svgs.length), 2);
  assert.ok((await page.$$('.small-multiples circle.ring')).length >= 2, 'balance points are drawn');
  assert.ok((await tableRows(page, 'The nearer to 1')).length > 1, 'each tensor has its cosine');
  assert.deepEqual(faults, []);
});

test('a pair of the causal check opens its feature', async () => {
  const { page, faults } = await open(1280);
  await page.click('header nav a[href="#/causal"]');
  await settled(page);
  const edges = await page.$$eval('main h2', (hs) => hs.map((h) => h.textContent));
  assert.ok(edges.includes('Base → Lua'), edges.join());
  const medians = await tableRows(page, 'Medians over the pairs');
  assert.ok(medians.length >= 2);
  assert.ok(medians.some((row) => row[0] === 'found again'), medians.join());
  const point = await page.$('a:has(> .point)');
  assert.match(await point.getAttribute('aria-label'), /^\w+ #\d+ – \w+ #\d+: r −?\d\.\d\d, effects −?\d\.\d\d/);
  await page.click('summary:has-text("All")');
  const pairs = await tableRows(page, 'Pairs whose effects');
  const drawn = await page.$$eval('main section:first-of-type .point', (points) => points.length);
  assert.equal(drawn, pairs.filter((row) => row[3] !== '–' && row[4] !== '–').length);
  const target = await point.getAttribute('href');
  await page.evaluate((hash) => { document.querySelector(`a[href="${hash}"]:has(> .point)`).dispatchEvent(new MouseEvent('click', { bubbles: true })); }, target);
  await settled(page);
  assert.equal(await page.evaluate(() => location.hash), target);
  assert.match(await page.textContent('h1'), /#\d+$/);
  assert.deepEqual(faults, []);
});

test('in the dark, text stands out from its ground', async () => {
  const { page, faults } = await open(1280, 900, { colorScheme: 'dark' });
  const luminances = await page.evaluate(() => {
    const luminance = (color) => /\d+/g[Symbol.match](color).slice(0, 3)
      .reduce((sum, v, i) => sum + [0.2126, 0.7152, 0.0722][i] * (Number(v) / 255) ** 2.2, 0);
    return [luminance(getComputedStyle(document.documentElement).backgroundColor),
      ...[...document.querySelectorAll('main :is(p, td, th, h1, h2, h3, caption, summary, button, figure li)')]
        .map((e) => luminance(getComputedStyle(e.matches('[aria-pressed=true]') ? document.body : e).color))];
  });
  const [ground, ...texts] = luminances;
  for (const text of texts) assert.ok((text + 0.05) / (ground + 0.05) > 4.5, `${text} on ${ground}`);
  await shoot(page, 'overview-dark', 1280);
  assert.deepEqual(faults, []);
});

/** Counts of the flow's table: [persist of the parent, of the child, one-to-one] of each edge. */
const flowCounts = (page) => page.$$eval('.sankey', ([svg]) => {
  const table = [...document.querySelectorAll('main table')].find((t) => svg.compareDocumentPosition(t) & Node.DOCUMENT_POSITION_FOLLOWING);
  const number = (cell) => Number(cell.textContent.replaceAll(',', ''));
  return [...table.tBodies[0].rows].map((r) => [number(r.cells[1]), number(r.cells[4]), number(r.cells[7])]);
});

test('the flow is redrawn at another threshold and one-to-one, and the address keeps it', async () => {
  const { page, faults } = await open(1280);
  const own = await flowCounts(page);
  const ribbons = await page.$$eval('.sankey .ribbon', (paths) => paths.map((p) => p.getAttribute('d')));
  await page.focus('input[type=range]');
  await page.keyboard.press('Home');
  await page.waitForFunction(() => location.hash.includes('tau='));
  const low = await flowCounts(page);
  low.forEach((row, i) => row.forEach((n, k) => assert.ok(n >= own[i][k], 'a lower threshold matches no less')));
  assert.ok(low.some((row, i) => row[0] > own[i][0]), 'it matches more');
  assert.notDeepEqual(await page.$$eval('.sankey .ribbon', (paths) => paths.map((p) => p.getAttribute('d'))), ribbons);
  const lists = await page.$$eval('.sankey a', (as) => as.map((a) => a.getAttribute('href')));
  await page.click('.switch button:has-text("one-to-one")');
  await page.waitForFunction(() => location.hash.includes('rule=one-to-one'));
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'one-to-one', 'the button keeps the focus');
  const pairs = await flowCounts(page);
  for (const [parent, child, both] of pairs) assert.ok(parent === child && parent === both);

  // The same address in another window is the same view.
  const again = await open(1280, 900, {}, await page.evaluate(() => location.hash));
  assert.deepEqual(await flowCounts(again.page), pairs);
  assert.equal(await again.page.getAttribute('.switch button:has-text("one-to-one")', 'aria-pressed'), 'true');
  assert.match(await again.page.textContent('main'), /Lists of features are kept for any match on all of the text/);

  // A ribbon opens as many features as it says, classes being those of that threshold.
  for (const [i, list] of lists.entries()) {
    await page.evaluate((hash) => { location.hash = hash; }, list);
    await page.waitForFunction(([hash, n]) => location.hash === hash
      && document.querySelector('.pager span')?.textContent === n,
    [list, `${low[i][1].toLocaleString('en-US')} feature${low[i][1] === 1 ? '' : 's'}`]);
  }
  assert.deepEqual([...faults, ...again.faults], []);
});

async function saved(page, selector) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return [download.suggestedFilename(), readFileSync(await download.path(), 'utf8')];
}

test('figures are saved as SVG and tables as CSV', async () => {
  const { page, faults } = await open(1280);
  for (const [i, figure] of (await page.$$('figure')).entries()) {
    assert.ok(await figure.$('.save'), `figure ${i} can be saved`);
  }
  for (const table of await page.$$('main table')) {
    assert.ok(await table.evaluate((t) => Boolean(t.closest('.exported')?.querySelector('.save'))), 'each table can be saved');
  }
  const [svgName, svg] = await saved(page, 'figure:has(.sankey) .save');
  assert.match(svgName, /^features-that-persist.*\.svg$/);
  const parsed = await page.evaluate((text) => {
    const svgDocument = new DOMParser().parseFromString(text, 'image/svg+xml');
    return [svgDocument.querySelector('parsererror') === null, svgDocument.querySelectorAll('path[fill]').length];
  }, svg);
  assert.ok(parsed[0] && parsed[1] > 0, 'the figure is SVG with its colours in it');
  assert.doesNotMatch(svg, / class=|var\(--/);
  const [csvName, csv] = await saved(page, 'figure:has(.sankey) + .exported .save');
  assert.match(csvName, /\.csv$/);
  const lines = csv.trimEnd().split('\n').map((line) => line.split(','));
  const counts = await flowCounts(page);
  assert.deepEqual(lines.slice(-counts.length).map((cells) => [cells[1], cells[4], cells[7]].map(Number)), counts);
  await page.evaluate(() => { location.hash = '#/features'; });
  await page.waitForSelector('table.features');
  const [, list] = await saved(page, '.pager .save');
  const count = Number((await page.textContent('.pager span')).match(/^[\d,]+/)[0].replace(',', ''));
  assert.match(list, /^model,feature,explanation,score,/);
  assert.ok(list.trimEnd().split('\n').length >= count + 1, 'every feature of the list is there, not those in view alone');
  assert.deepEqual(faults, []);
});

test('a long list keeps few rows in the document and shows its end', async () => {
  const { page, faults } = await open(1280, 900, {}, '#/features?all=1&class=all');
  await page.waitForSelector('table.features tbody tr');
  const count = Number(await page.getAttribute('table.features', 'aria-rowcount')) - 1;
  assert.ok(count > 100);
  const rows = () => page.$$eval('table.features tbody tr', (trs) => trs.map((tr) => Number(tr.getAttribute('aria-rowindex'))));
  assert.ok((await rows()).length < 60);
  await page.focus('.virtual');
  await page.keyboard.press('End');
  await page.waitForFunction((n) => [...document.querySelectorAll('table.features tbody tr')].at(-1).getAttribute('aria-rowindex') === String(n), count + 1);
  assert.ok((await rows()).length < 60);
  assert.deepEqual(faults, []);
});

test('a sample of text shows what is active on each token, in every model', async () => {
  const { page, faults } = await open(1280, 900, {}, '#/text/0?token=3');
  await page.waitForSelector('.chooser');
  const models = await page.$$eval('.card section', (cards) => cards.length);
  assert.ok(models >= 2);
  assert.equal(await page.$$eval('.chooser [aria-selected=true]', (tokens) => tokens.length), 1);
  await markAnActiveFeature(page);
  assert.doesNotMatch(await page.textContent('main'), /undefined|NaN|\[object/);
  await shoot(page, 'text', 1280);
  assert.deepEqual(faults, []);
});

test('each class filter, sorting and search give lists, without errors', async () => {
  const { page, faults } = await open(1280);
  await page.click('header nav a[href="#/features"]');
  await settled(page);
  const classes = '.controls label:has-text("Class") select';
  const options = await page.$$eval(`${classes} option`, (os) => os.map((o) => o.value));
  for (const value of options) {
    await page.selectOption(classes, value);
    await settled(page);
    assert.match(await page.textContent('.pager'), /\d+ feature/);
    const name = value.split(':')[0];
    if (['persisting', 'disappearing', 'emerging'].includes(name)) {
      const rows = await page.$$eval('table.features tbody tr', (trs) => trs.map((tr) => tr.textContent));
      for (const row of rows) assert.ok(row.includes(name), `${value}: ${row}`);
    }
  }
  await page.selectOption(classes, 'all');
  const paths = '.controls label:has-text("Path") select';
  for (const value of await page.$$eval(`${paths} option`, (os) => os.map((o) => o.value))) {
    await page.selectOption(paths, value);
    await settled(page);
    assert.match(await page.textContent('.pager'), /\d+ feature/);
  }
  await page.selectOption(paths, '');
  await page.fill('.controls label:has-text("Best r") input', '0.8');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => location.hash.includes('r=0.8'));
  for (const row of await page.$$eval('table.features tbody tr', (trs) => trs.map((tr) => tr.querySelectorAll('a')[1].textContent))) {
    assert.ok(Number(row) >= 0.8, row);
  }
  await page.click('th button:has-text("density")');
  await settled(page);
  assert.ok(await page.$('th[aria-sort]'));
  await page.fill('.controls input[type=search]', 'no token is like this one');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => /^0 features/.test(document.querySelector('.pager span').textContent));
  assert.deepEqual(faults, []);
});

test('the keyboard reaches links, and a wrong address is told', async () => {
  const { page, faults } = await open(1280);
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'A');
  for (const hash of ['#/nothing', '#/feature/nobody/1', '#/features/nobody', '#/feature/%E0%A4%A/x']) {
    await page.evaluate((h) => { location.hash = h; }, hash);
    await page.waitForFunction(() => /There is no|No model/.test(document.querySelector('main').textContent));
  }
  assert.deepEqual(faults, []);
});

test('markup in the text stays text', async () => {
  const needle = process.env.NEEDLE;
  assert.ok(needle, 'NEEDLE names text with markup that the report holds');
  const { page, faults } = await open(1280);
  const scripts = await page.$$eval('script', (s) => s.length);
  await page.click('header nav a[href="#/features"]');
  await settled(page);
  const count = await page.$$eval('.tabs a', (as) => as.length);
  let found = false;
  for (let i = 0; i < count && !found; ++i) {
    await page.click(`.tabs a:nth-child(${i + 1})`);
    await settled(page);
    const features = await page.$$eval('table.features tbody tr a', (as) => as.map((a) => a.getAttribute('href')));
    for (const feature of features) {
      await page.evaluate((h) => { location.hash = h; }, feature);
      await page.waitForFunction((h) => location.hash === h
        && document.querySelector('h1')?.textContent.endsWith(`#${h.split('/').pop()}`), feature);
      await settled(page);
      found = (await page.$$eval('.tokens', (lines) => lines.map((l) => l.textContent)))
        .some((line) => plainText(line).includes(needle));
      if (found) break;
    }
    await page.click('header nav a[href="#/features"]');
    await settled(page);
  }
  assert.ok(found, `${needle} is shown as text in some example`);
  assert.equal(await page.$$eval('script', (s) => s.length), scripts, 'no script came to be');
  assert.deepEqual(faults, []);
});
