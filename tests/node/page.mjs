// Drives the page in Chromium as a person would, and prints what there was to see as one JSON object.
//
// node page.mjs URL QUERY PICTURE PROFILE_FOLDER CHROMIUM
import { complain, open, STEP_MS } from './browser.mjs';

const [url, query, picture, profile, executablePath] = process.argv.slice(2);
const ROW = '.event > .row';
const DETAILS = '.event.open .detail';

const report = { title: '', rows: [], found: [], details: '', query_error: '', errors: [], violations: [], foreign_requests: [] };

const { context, page } = await open(url, profile, executablePath, report);
try {
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
  report.query_error = await complain(report, async () => {
    await ask(page, 'straw | bogus');
    return page.locator('#problem').innerText();
  });
  report.violations = await page.evaluate(() => globalThis.violations ?? []);
} catch (error) {
  report.errors.push(`the script stopped: ${error}`);
} finally {
  await context.close();
}
process.stdout.write(JSON.stringify(report));

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
