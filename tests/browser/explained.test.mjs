// Explanations and logit weights in a report, in headless Chromium: of the report that report_test leaves.
//   REPORT=report.html [SCREENSHOTS=folder] [CHROMIUM=/usr/bin/chromium] node --test explained.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkWidth, pageOpener, shoot } from './browser.mjs';

assert.ok(process.env.REPORT, 'REPORT names the report to open');
const open = pageOpener(process.env.REPORT);
const kMarkup = '<script>alert(1)</script>';

for (const [width, colorScheme] of [[1280, 'light'], [800, 'dark']]) {
  test(`explanations at ${width} px, ${colorScheme}`, async () => {
    const { page, faults } = await open(width, 900, { colorScheme }, '#/explanations');
    await page.waitForSelector('.small-multiples figure');
    const text = await page.textContent('main');
    for (const words of ['shuffled features', 'Token identity', '0.61', 'By path', 'BabyPython → Lua']) {
      assert.ok(text.includes(words), words);
    }
    assert.doesNotMatch(text, /undefined|NaN|\[object/);
    await checkWidth(page, 'explanations');
    await shoot(page, `explanations-${colorScheme}`, width);
    await page.click('a[href*="group=code"]');
    await page.waitForSelector('table.features tbody tr');
    const groups = await page.$$eval('table.features tbody tr', (rows) => rows.map((row) => row.cells[2].textContent));
    assert.ok(groups.length > 0 && groups.every((cell) => /^\d\.\d\dcode$/.test(cell)), groups.join(' '));
    await checkWidth(page, 'features');
    await shoot(page, `explained-features-${colorScheme}`, width);
    assert.deepEqual(faults, []);
  });
}

test('explanations are searched, sorted by score, and open their feature', async () => {
  const { page, faults } = await open(1280, 900, {}, '#/features/Lua?class=all&sort=score');
  await page.waitForSelector('table.features tbody tr');
  const scores = await page.$$eval('table.features tbody tr', (rows) => rows.map((row) => parseFloat(row.cells[2].textContent)));
  scores.forEach((score, i) => assert.ok(i === 0 || score <= scores[i - 1], 'the best first'));
  await page.fill('.controls input[type=search]', 'pattern 27 after');
  await page.waitForFunction(() => /^1 feature$/.test(document.querySelector('.pager span').textContent));
  assert.match(await page.evaluate(() => location.hash), /q=pattern/);
  assert.ok((await page.textContent('table.features tbody')).includes(kMarkup), 'markup is text');
  await page.click('table.features tbody tr a');
  await page.waitForSelector('.explanation');
  const said = await page.textContent('.explanation');
  assert.ok(said.includes(`pattern 27 after \`${kMarkup}\``) && said.includes('words of a <b>story</b>'), said);
  assert.match(said, /score \d\.\d\d.*token identity alone \d\.\d\d/);
  const text = await page.textContent('main');
  for (const words of ['Across the family', 'Active on the same tokens', 'What it speaks for and against', 'Examples by interval']) {
    assert.ok(text.includes(words), words);
  }
  assert.doesNotMatch(text, /undefined|NaN|\[object/);
  await shoot(page, 'explained-feature', 1280);
  assert.deepEqual(faults, []);
});
