// A served report, which can be asked: of the report at URL, a server of this machine.
//   URL=http://127.0.0.1:8080/ [SCREENSHOTS=folder] [CHROMIUM=/usr/bin/chromium] node --test served.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWidth, markAnActiveFeature, pageOpener, plainText, shoot } from './browser.mjs';

assert.ok(process.env.URL, 'URL names the served report');
const open = pageOpener(process.env.URL);
const kText = 'local x = nil\n<script>alert(1)</script>\nOnce upon a time';

for (const width of [1280, 800]) {
  test(`a text of the reader's own at ${width} px`, async () => {
    const { page, faults } = await open(width, 900, {}, '#/text');
    await page.fill('textarea', kText);
    await page.keyboard.press('Control+Enter');
    await page.waitForSelector('.chooser [role=option]');
    assert.match(plainText(await page.textContent('.chooser')).replaceAll('\n', ''), /local x = nil<script>alert\(1\)<\/script>Once upon a time/);
    assert.ok((await page.$$('.card section')).length >= 2, 'each model has its features');
    await markAnActiveFeature(page);
    assert.doesNotMatch(await page.textContent('main'), /undefined|NaN|\[object/);
    await checkWidth(page, 'own text');
    await shoot(page, 'own-text', width);

    // The address has the text: it can be shared with whoever has the server.
    const again = await open(width, 900, {}, await page.evaluate(() => location.hash));
    await again.page.waitForSelector('.chooser [role=option]');
    assert.equal(await again.page.inputValue('textarea'), kText);
    assert.equal(await again.page.textContent('.chooser'), await page.textContent('.chooser'));
    assert.deepEqual([...faults, ...again.faults], []);
  });
}

test('a feature has all of its matches, and is plotted against them', async () => {
  const { page, faults } = await open(1280, 900, {}, '#/features?sort=r');
  await page.waitForSelector('table.features tbody tr a');
  await page.click('table.features tbody tr a');
  await page.waitForSelector('.card svg[role=img] circle');
  assert.match(await page.textContent('.cards'), /tokens on which either is active/);
  await page.click('summary:has-text("All of its matches")');
  await page.waitForSelector('details table');
  const correlations = await page.$$eval('details[open] table tbody td:last-child', (cells) => cells.map((c) => Number(c.textContent)));
  assert.ok(correlations.length > 0 && correlations.every((r, i) => r >= 0.3 && (i === 0 || r <= correlations[i - 1])), correlations.join());
  await shoot(page, 'served-feature', 1280);
  assert.deepEqual(faults, []);
});
