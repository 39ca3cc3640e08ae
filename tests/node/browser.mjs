// A Chromium on a page of ours, with everything that goes wrong in it written into the report.
import { chromium } from 'playwright-core';

export const STEP_MS = 15_000;

/** `{context, page}`; the report gets `errors`, `violations` (ask the page for them at the end) and `foreign_requests`. */
export async function open(url, profile, executablePath, report) {
  const context = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1280, height: 800 },
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(STEP_MS);
  await watch(page, url, report);
  await page.goto(url);
  return { context, page };
}

/** Does what the server answers with 400: the browser's line about that is no error. */
export async function complain(report, action) {
  const before = report.errors.length;
  const said = await action();
  report.errors = report.errors.slice(0, before).concat(report.errors.slice(before).filter((text) => !text.includes('400')));
  return said;
}

async function watch(page, url, report) {
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
