// Opens a report in headless Chromium from its file, offline, and walks through it.
//   REPORT=report.html [SCREENSHOTS=folder] [CHROMIUM=/usr/bin/chromium] npm test
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWidth, pageOpener, plainText, shoot } from './browser.mjs';

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

test('each class filter, sorting and search give lists, without errors', async () => {
  const { page, faults } = await open(1280);
  await page.click('header nav a[href="#/features"]');
  await settled(page);
  const options = await page.$$eval('.controls select option', (os) => os.map((o) => o.value));
  for (const value of options) {
    await page.selectOption('.controls select', value);
    await settled(page);
    assert.match(await page.textContent('.pager'), /\d+ feature/);
    const name = value.split(':')[0];
    if (['persisting', 'disappearing', 'emerging'].includes(name)) {
      const rows = await page.$$eval('table.features tbody tr', (trs) => trs.map((tr) => tr.textContent));
      for (const row of rows) assert.ok(row.includes(name), `${value}: ${row}`);
    }
  }
  await page.selectOption('.controls select', 'all');
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
