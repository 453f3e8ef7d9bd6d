// Headless Chromium for the tests of this folder: pages from files, offline, or from a server of this machine.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before } from 'node:test';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const screenshots = process.env.SCREENSHOTS && resolve(process.env.SCREENSHOTS);
if (screenshots) mkdirSync(screenshots, { recursive: true });

/**
 * open(width, height, options of the context, hash) → {page, faults} of a file or an address, to be called
 * once in a test file. A test fails on any console error, exception, dialog, or request (but to the server
 * of that address): it expects no faults.
 */
export function pageOpener(where) {
  const served = /^http:/.test(where);
  const file = served ? where : pathToFileURL(resolve(where)).href;
  const expected = (url) => (served ? url.startsWith(file) : url.split('#')[0] === file);
  let browser;
  before(async () => {
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
        '--disable-background-networking', '--disable-component-update', '--disable-sync'],
    });
  });
  after(() => browser?.close());

  return async (width, height = 900, options = {}, hash = '') => {
    const context = await browser.newContext({ viewport: { width, height }, offline: !served, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(120_000);  // a busy machine is slow, and that is no fault of the page
    const faults = [];
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && faults.push(`console: ${m.text()}`));
    page.on('pageerror', (e) => faults.push(`exception: ${e.message}`));
    page.on('request', (r) => !expected(r.url()) && faults.push(`request: ${r.url().slice(0, 100)}`));
    page.on('dialog', (d) => { faults.push(`dialog: ${d.message()}`); d.dismiss(); });
    await page.goto(file + hash);
    await page.waitForSelector('main h1');
    return { page, faults };
  };
}

export async function checkWidth(page, where) {
  const [content, window] = await page.evaluate(
    () => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(content <= window, `${where}: ${content} px of content in ${window} px`);
}

export const shoot = (page, name, width) => screenshots
  && page.screenshot({ path: join(screenshots, `${name}-${width}.png`), fullPage: true });

/** What a line of tokens says, without the stand-ins for white space. */
export const plainText = (line) => line.replaceAll('·', ' ').replaceAll('↵', '\n');

/** On a page of text: goes to the next token on which some feature is active, and marks that in the text. */
export async function markAnActiveFeature(page) {
  await page.focus('.chooser');
  for (let i = 0; i < 40 && !(await page.$('.active button')); ++i) await page.keyboard.press('ArrowRight');
  await page.click('.active button');
  await page.waitForFunction(() => location.hash.includes('feature='));
  assert.ok(await page.$('.chooser .tok.on[aria-selected=true]'), 'the feature is marked on the token it is active on');
}
