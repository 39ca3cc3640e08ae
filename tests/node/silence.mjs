// Silences and acknowledges the one alert that fires, as a person with a keyboard would, or (`end`) ends the silence, or
// (`pending`) silences the one that does not fire yet.
//
// node silence.mjs URL silence|end|pending PICTURE PROFILE_FOLDER CHROMIUM
import { complain, open, STEP_MS } from './browser.mjs';

const [url, step, picture, profile, executablePath] = process.argv.slice(2);
/** A heartbeat is missed after its own time. */
const FIRES_MS = 60_000;

const report = { focused: [], after_escape: '', matched: [], refusal: '', silenced: '', acknowledged: '', list: [], errors: [], violations: [], foreign_requests: [] };

const { context, page } = await open(url, profile, executablePath, report);
try {
  await { end, silence, pending }[step]();
  report.violations = await page.evaluate(() => globalThis.violations ?? []);
} catch (error) {
  report.errors.push(`the script stopped: ${error}`);
} finally {
  await context.close();
}
process.stdout.write(JSON.stringify(report));

async function silence() {
  const button = page.getByRole('button', { name: /^Silence… / });
  await button.waitFor({ timeout: FIRES_MS });
  await button.press('Enter');
  const dialog = page.getByRole('dialog', { name: /^Silence / });
  await dialog.waitFor();
  report.focused.push(await focused());
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  report.after_escape = await focused();

  await button.press('Enter');
  await page.keyboard.type('ann');
  await page.keyboard.press('Tab');
  report.focused.push(await focused());
  await page.keyboard.type('moving the rack <b>');
  await dialog.getByLabel('4 h').check();
  const matchers = dialog.getByLabel('Matchers');
  const own = await matchers.inputValue();
  report.matched.push(await dialog.locator('#matched').innerText());
  await matchers.fill('heartbeat=~".*"');
  report.refusal = await complain(report, async () => {
    await dialog.getByRole('button', { name: 'Silence' }).click();
    return dialog.getByRole('alert').innerText();
  });
  await matchers.fill(own);
  report.matched.push(await dialog.locator('#matched').innerText());
  await page.screenshot({ path: picture });
  await dialog.getByRole('button', { name: 'Silence' }).click();
  await dialog.waitFor({ state: 'detached' });
  report.list = await page.getByRole('list', { name: 'Silences in force' }).getByRole('listitem').allInnerTexts();
  report.silenced = await page.locator('.alert').innerText();

  await page.getByRole('button', { name: /^Acknowledge / }).press('Enter');
  const ack = page.getByRole('dialog', { name: /^Acknowledge / });
  await ack.waitFor();
  report.focused.push(await focused());
  await page.keyboard.press('Enter');
  await ack.waitFor({ state: 'detached' });
  report.acknowledged = await page.locator('.alert').innerText();
}

async function end() {
  await page.getByRole('button', { name: '1 silence' }).click();
  const row = page.getByRole('listitem').filter({ hasText: 'ann' });
  report.list = await row.allInnerTexts();
  report.acknowledged = await page.locator('.alert').innerText();
  await page.getByRole('button', { name: /^End the silence of ann/ }).click();
  await row.waitFor({ state: 'detached', timeout: STEP_MS });
  report.silenced = await page.locator('.alert').innerText();
}

async function pending() {
  await page.getByRole('button', { name: 'Slow pending' }).click({ timeout: FIRES_MS });
  report.acknowledged = (await page.getByRole('button', { name: /^Acknowledge / }).allInnerTexts()).join();
  await page.getByRole('button', { name: /^Silence… / }).press('Enter');
  const dialog = page.getByRole('dialog', { name: /^Silence / });
  await dialog.waitFor();
  await page.keyboard.type('ann');
  await page.keyboard.press('Tab');
  await page.keyboard.type('known');
  report.matched.push(await dialog.locator('#matched').innerText());
  await page.screenshot({ path: picture });
  await dialog.getByRole('button', { name: 'Silence' }).click();
  await dialog.waitFor({ state: 'detached' });
  report.silenced = await page.locator('.alert').innerText();
}

/** The name of what has the focus: of a field its `name`, else its label or text. */
function focused() {
  return page.evaluate(() => {
    const { activeElement: at } = document;
    return at.getAttribute('name') ?? at.getAttribute('aria-label') ?? at.textContent;
  });
}
