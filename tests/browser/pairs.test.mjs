// Rates the pairs of features of an export in headless Chromium, from its file, offline.
//   PAIRS=pairs.html RATINGS=ratings.csv (to write) [SCREENSHOTS=folder] [CHROMIUM=…] npm test
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkWidth, pageOpener, plainText, shoot } from './browser.mjs';

assert.ok(process.env.PAIRS, 'PAIRS names the page to open');
const open = pageOpener(process.env.PAIRS);
const kRatings = ['same', 'similar', 'different', 'cannot tell'];

/** [number of the pair shown, of how many], once its examples are there. */
async function shown(page) {
  await page.waitForSelector('.sides .examples li');
  return (await page.textContent('main h1')).match(/Pair (\d+) of (\d+)/).slice(1).map(Number);
}

async function shownIs(page, number) {
  await page.waitForFunction((n) => document.querySelector('main h1').textContent.startsWith(`Pair ${n} of`)
    && document.querySelector('.sides .examples li'), number);
}

for (const [width, colorScheme] of [[1280, 'light'], [800, 'light'], [1280, 'dark'], [800, 'dark']]) {
  test(`a pair at ${width} px, ${colorScheme}`, async () => {
    const { page, faults } = await open(width, 900, { colorScheme });
    assert.equal((await shown(page))[0], 1);
    for (const side of ['Left feature', 'Right feature']) {
      assert.ok(await page.$(`section[aria-label="${side}"] .examples li .tok.on`), `${side} has active tokens`);
    }
    assert.ok((await page.$$('table.same tbody tr')).length > 0, 'both are shown on the same text');
    assert.doesNotMatch(await page.textContent('main'), /undefined|NaN|\[object/);
    await checkWidth(page, 'a pair');
    await shoot(page, `pairs-${colorScheme}`, width);
    // Ink and ground differ enough to read, in either scheme (the contrast that WCAG asks for is 4.5).
    const contrast = await page.evaluate(() => {
      const luminance = (css) => {
        const [r, g, b] = css.match(/[\d.]+/g).map((v) => v / 255)
          .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const style = getComputedStyle(document.documentElement);
      const [a, b] = [style.color, style.backgroundColor].map(luminance);
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    });
    assert.ok(contrast > 4.5, `contrast ${contrast}`);
    assert.deepEqual(faults, []);
  });
}

test('all pairs are rated by keyboard, kept over a reload and downloaded', async () => {
  const { page, faults } = await open(1280);
  const [, count] = await shown(page);
  // The second one gets a note first; keys do not rate while one types.
  const note = 'at 1, "or" 2';
  for (let n = 1; n <= count; ++n) {
    await shownIs(page, n);
    if (n === Math.min(2, count)) {
      await page.keyboard.press('n');
      await page.keyboard.type(note);
      await page.keyboard.press('Escape');
    }
    await page.keyboard.press(String(1 + (n % 4)));
  }
  await page.waitForFunction((all) => document.querySelector('.progress').textContent.includes(all), `${count} of ${count} rated`);
  assert.match(await page.textContent('main .title-row'), /All pairs are rated/);
  assert.match(await page.textContent('[role=status]'), new RegExp(`Pair ${count}: `));

  await page.reload();
  await shownIs(page, count);
  assert.match(await page.textContent('.progress'), new RegExp(`${count} of ${count} rated`));
  if (count > 1) {
    await page.keyboard.press('ArrowLeft');
    await shownIs(page, count - 1);
    await page.keyboard.press('ArrowRight');
    await shownIs(page, count);
  }
  // An answer is changed with the mouse.
  await page.click('.answer button.rating:has-text("cannot tell")');
  assert.equal(await page.getAttribute('.answer button.rating:has-text("cannot tell")', 'aria-pressed'), 'true');

  const [download] = await Promise.all([page.waitForEvent('download'), page.click('button:has-text("Download")')]);
  assert.equal(download.suggestedFilename(), 'ratings.csv');
  await download.saveAs(process.env.RATINGS);
  const lines = readFileSync(process.env.RATINGS, 'utf8').trimEnd().split('\n');
  assert.equal(lines[0], 'id,rating,note');
  assert.equal(lines.length, count + 1);
  for (let n = 1; n <= count; ++n) {
    const [id, rating, ...rest] = lines[n].split(',');
    assert.match(id, new RegExp(`^[0-9a-f]{6}-${String(n).padStart(3, '0')}$`));
    assert.equal(rating, n === count ? 'cannot tell' : kRatings[n % 4]);
    assert.equal(rest.join(','), n === Math.min(2, count) ? `"${note.replaceAll('"', '""')}"` : '');
  }
  assert.deepEqual(faults, []);
});

test('markup in the text stays text, and active tokens are told in words', async () => {
  const needle = process.env.NEEDLE;
  assert.ok(needle, 'NEEDLE names text with markup that some example holds');
  const { page, faults } = await open(1280);
  const scripts = await page.$$eval('script', (s) => s.length);
  const [, count] = await shown(page);
  let found = false;
  for (let n = 1; n <= count && !found; ++n) {
    await shownIs(page, n);
    found = (await page.$$eval('.tokens', (lines) => lines.map((l) => l.textContent)))
      .some((line) => plainText(line).includes(needle));
    assert.match(await page.textContent('section[aria-label="Left feature"] .unseen'), /^Active on: .*\d%/);
    await page.keyboard.press('ArrowRight');
  }
  assert.ok(found, `${needle} is shown as text in some example`);
  assert.equal(await page.$$eval('script', (s) => s.length), scripts, 'no script came to be');
  assert.deepEqual(faults, []);
});

test('Tab reaches every control, in order', async () => {
  const { page, faults } = await open(1280);
  await shown(page);
  const names = [];
  for (let i = 0; i < 9; ++i) {
    await page.keyboard.press('Tab');
    names.push(await page.evaluate(() => {
      const at = document.activeElement;
      return (at.getAttribute('aria-label') ?? at.textContent ?? '').trim() || at.closest('label')?.textContent.trim();
    }));
  }
  for (const name of ['Download ratings.csv', 'How to rate', '1 same', '2 similar', '3 different', '4 cannot tell', 'Next pair', 'Note']) {
    assert.ok(names.includes(name), `${name} in ${names.join(' | ')}`);
  }
  assert.deepEqual(faults, []);
});
