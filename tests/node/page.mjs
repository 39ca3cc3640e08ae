// Drives the page in Chromium as a person would, and prints what there was to see as one JSON object.
//
// node page.mjs URL QUERY PICTURE PROFILE_FOLDER CHROMIUM
import { chromium } from 'playwright-core';

const [url, query, picture, profile, executablePath] = process.argv.slice(2);
const STEP_MS = 15_000;
const ROW = '.event > .row';
const DETAILS = '.event.open .detail';

const report = { title: '', rows: [], found: [], details: '', query_error: '', errors: [], violations: [], foreign_requests: [] };

const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1280, height: 800 },
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(STEP_MS);
  await watch(page);

  await page.goto(url);
  report.title = await page.title();
  await rowsAre(page, (count) => count > 0);
  report.rows = await page.locator(ROW).allTextContents();

  await ask(page, query);
  await rowsAre(page, (count) => count === 1);
  report.found = await page.locator(ROW).allTextContents();
  await page.locator(ROW).first().click();
  await page.locator(DETAILS).first().waitFor();
  report.details = await page.locator(DETAILS).first().innerText();
  await page.screenshot({ path: picture });

  // From here on an answer of 400 is what is asked for.
  const before = report.errors.length;
  await ask(page, 'straw | bogus');
  await page.locator('#problem').waitFor();
  report.query_error = await page.locator('#problem').innerText();
  report.errors = report.errors.slice(0, before).concat(report.errors.slice(before).filter((text) => !text.includes('400')));
  report.violations = await page.evaluate(() => globalThis.violations ?? []);
} catch (error) {
  report.errors.push(`the script stopped: ${error}`);
} finally {
  await context.close();
}
process.stdout.write(JSON.stringify(report));

async function watch(page) {
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') report.errors.push(`${message.type()}: ${message.text()}`);
  });
  page.on('pageerror', (error) => report.errors.push(`uncaught: ${error}`));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) report.foreign_requests.push(request.url());
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', (event) => globalThis.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
  });
}

async function ask(page, text) {
  await page.locator('#query').fill(text);
  await page.locator('#query').press('Enter');
}

async function rowsAre(page, wanted) {
  const deadline = Date.now() + STEP_MS;
  while (!wanted(await page.locator(ROW).count())) {
    if (Date.now() > deadline) throw new Error(`rows: ${await page.locator(ROW).count()}`);
    await page.waitForTimeout(50);
  }
}
