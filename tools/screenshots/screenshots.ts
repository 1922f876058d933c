/**
 * `npm run screenshots`: takes pictures of the console's screens, in light and dark, wide and narrow, to `dist/screenshots`. It starts
 * the service with throw-away state, makes a customer with listeners that work, fail and hang, and publishes events. It needs a Chromium:
 * `CHROMIUM=/path/to/chromium`, else `/usr/bin/chromium`. It fails when a screen is wider than its window, or logs an error.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorClient, type WebhooksClient } from '@identity-webhooks/client';
import { type Browser, chromium, type Page } from 'playwright-core';
import { startHooks } from '../harness/hooks.ts';
import { makeHome, pause, startService } from '../harness/service.ts';
import { newCustomer, newEvents, publish, subscribe } from '../harness/tenant.ts';

const OUT = join(import.meta.dirname, '../../dist/screenshots');
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const WIDTHS = [360, 1280];
const SCHEMES = ['light', 'dark'] as const;
/** Until the first answers are drawn. */
const DRAWN_AFTER_MS = 1_500;
const FAILED_WITHIN_MS = 120_000;

if (!existsSync(CHROMIUM)) {
  console.error(
    `there is no Chromium at ${CHROMIUM}; name one: CHROMIUM=/path/to/chromium npm run screenshots`,
  );
  process.exit(2);
}

const faults: string[] = [];
const home = makeHome();
console.log('starting the service …');
const service = await startService(home, { RETRY_DELAYS_SECONDS: '1,1,1,1,1' });
const hooks = await startHooks(3);
const browser = await chromium.launch({ executablePath: CHROMIUM });
try {
  const owner = { url: service.url, operatorToken: home.operatorToken };
  const customer = await newCustomer(owner);
  const [well, refusing, hanging] = hooks.all;
  if (refusing === undefined || hanging === undefined || well === undefined) throw new Error('no hooks');
  refusing.mood = 'refusing';
  hanging.mood = 'hanging';
  const [, failing = ''] = await subscribe(
    customer,
    hooks.all.map(({ url }) => url),
  );
  await publish(customer, newEvents(8));
  const failed = await firstFailure(customer, failing);
  const screens = {
    overview: '',
    subscriptions: 'subscriptions',
    subscription: `subscriptions/${failing}`,
    events: `subscriptions/${failing}/events`,
    event: `subscriptions/${failing}/events/${failed}`,
    create: 'subscriptions/new',
    redeliveries: `subscriptions/${failing}/redeliveries`,
    exports: `subscriptions/${failing}/exports`,
    find: `find?id=${failed}`,
    keys: 'keys',
    operator: 'operator',
    customers: 'operator/customers',
    customer: `operator/customers/${customer.customerId}`,
    endpoints: 'operator/endpoints',
    'dead-letters': 'operator/dead-letters',
    notices: 'operator/notices',
    audit: 'operator/audit',
  };
  mkdirSync(OUT, { recursive: true });
  for (const scheme of SCHEMES) {
    for (const width of WIDTHS) await take(browser, scheme, width, customer.customerId, screens);
  }
} finally {
  await browser.close();
  await hooks.close();
  await service.stop();
  home.remove();
}
for (const fault of faults) console.error(fault);
console.log(`${OUT}: ${faults.length === 0 ? 'every screen fits its window' : `${faults.length} faults`}`);
process.exitCode = faults.length === 0 ? 0 : 1;

async function firstFailure(customer: WebhooksClient, sid: string): Promise<string> {
  for (const deadline = Date.now() + FAILED_WITHIN_MS; Date.now() < deadline; await pause(500)) {
    const list = await customer.call('listEvents', { sid, query: { state: 'failure', limit: 1 } });
    const [event] = list._embedded.events;
    if (event !== undefined) return event.id;
  }
  throw new Error('no event has failed');
}

async function take(
  browser: Browser,
  colorScheme: (typeof SCHEMES)[number],
  width: number,
  cid: string,
  screens: Readonly<Record<string, string>>,
): Promise<void> {
  const context = await browser.newContext({
    viewport: { width, height: 800 },
    colorScheme,
    locale: 'en-GB',
    timezoneId: 'UTC',
    reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  page.on('pageerror', ({ message }) => faults.push(message));
  await signIn(page, cid);
  for (const [name, path] of Object.entries(screens)) {
    await page.goto(`${service.url}/console/#/${path}`);
    await pause(DRAWN_AFTER_MS);
    const over = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
    if (Number(over) > 0) faults.push(`${name} is ${over} px too wide for ${width} px`);
    await page.screenshot({ path: join(OUT, `${name}-${colorScheme}-${width}.png`), fullPage: true });
  }
  await context.close();
}

/** As a customer by a link, and as the operator. */
async function signIn(page: Page, cid: string): Promise<void> {
  const operator = new OperatorClient({ baseUrl: service.url, token: home.operatorToken });
  const { url } = await operator.call('createConsoleLink', { cid });
  await page.goto(url);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.goto(`${service.url}/console/#/operator`);
  await page.getByLabel('Operator token').fill(home.operatorToken);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
}
