/**
 * `npm run screenshots`: takes pictures of the console's screens, in light and dark, wide and narrow, to `dist/screenshots`, and with
 * `-- --readme` those of the README to `docs/images`. It starts the service with throw-away state, and fails when a screen is wider than
 * its window, or something goes wrong in a page.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { findChromium, launchChromium, NO_CHROMIUM, newProfile, settled } from '../harness/browser.ts';
import { type Scene, setScene } from './scene.ts';

const ROOT = join(import.meta.dirname, '../..');
const OUT = join(ROOT, 'dist/screenshots');
const IMAGES = join(ROOT, 'docs/images');
const SIZES = [
  { width: 1280, height: 800 },
  { width: 360, height: 740 },
] as const;
const SCHEMES = ['light', 'dark'] as const;

interface Screen {
  readonly name: string;
  readonly route: string;
  /** The button that is pressed first. */
  readonly press?: string;
}

const path = findChromium();
if (path === undefined) {
  console.error(NO_CHROMIUM);
  process.exit(2);
}
console.log('making customers, events and a history; this takes some minutes');
const scene = await setScene();
const browser = await launchChromium(path);
const faults: string[] = [];
try {
  mkdirSync(OUT, { recursive: true });
  if (process.argv.includes('--readme')) mkdirSync(IMAGES, { recursive: true });
  for (const scheme of SCHEMES) {
    for (const size of SIZES) faults.push(...(await take(browser, scene, scheme, size)));
  }
} finally {
  await browser.close();
  await scene.close();
}
for (const fault of faults) console.error(fault);
console.log(`${OUT}: ${faults.length === 0 ? 'every screen fits its window' : `${faults.length} faults`}`);
process.exitCode = faults.length === 0 ? 0 : 1;

function screensOf({ customer, failing, working, letter }: Scene): Screen[] {
  const subscription = `subscriptions/${failing.sid}`;
  const ofCustomer = `operator/customers/${customer.customerId}`;
  return [
    { name: 'overview', route: '' },
    { name: 'overview-week', route: '?hours=168' },
    { name: 'subscriptions', route: 'subscriptions' },
    { name: 'subscription', route: `subscriptions/${working.sid}` },
    { name: 'subscription-failing', route: subscription },
    { name: 'test', route: `subscriptions/${working.sid}?test`, press: 'Send a test' },
    { name: 'delete', route: `${subscription}?delete`, press: 'Delete…' },
    { name: 'edit', route: `subscriptions/${working.sid}/edit` },
    { name: 'create', route: 'subscriptions/new' },
    { name: 'events', route: `${subscription}/events` },
    { name: 'event-failed', route: `${subscription}/events/${failing.eid}` },
    { name: 'event-delivered', route: `subscriptions/${working.sid}/events/${working.eid}` },
    { name: 'redeliveries', route: `${subscription}/redeliveries`, press: 'See what would be sent' },
    { name: 'exports', route: `${subscription}/exports` },
    { name: 'find', route: `find?id=${working.eid}` },
    { name: 'keys', route: 'keys' },
    { name: 'operator', route: 'operator' },
    { name: 'customers', route: 'operator/customers' },
    { name: 'customer', route: ofCustomer },
    { name: 'console-link', route: `${ofCustomer}?link`, press: 'Open the console as this customer' },
    { name: 'endpoints', route: 'operator/endpoints' },
    { name: 'dead-letters', route: 'operator/dead-letters' },
    { name: 'dead-letter', route: `operator/dead-letters/${letter}` },
    { name: 'audit', route: 'operator/audit' },
    { name: 'notices', route: 'operator/notices' },
  ];
}

/** @returns what is wrong with the screens */
async function take(
  browser: Browser,
  scene: Scene,
  colorScheme: (typeof SCHEMES)[number],
  viewport: (typeof SIZES)[number],
): Promise<string[]> {
  const { context, faults } = await newProfile(browser, { viewport, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const look = `${colorScheme}-${viewport.width}`;
  const wide: string[] = [];
  const shoot = async (name: string) => {
    await settled(page);
    const over = Number(await page.evaluate('document.documentElement.scrollWidth - innerWidth'));
    if (over > 0) wide.push(`${name} is ${over} px too wide for ${viewport.width} px`);
    // A dialog lies over what is in the window; a screen is taken whole, in a window as high as the page.
    const isDialog = (await page.getByRole('dialog').count()) > 0;
    const height = Number(await page.evaluate('document.documentElement.scrollHeight'));
    if (!isDialog)
      await page.setViewportSize({ width: viewport.width, height: Math.max(height, viewport.height) });
    // Nothing is under the pointer.
    await page.mouse.move(0, 0);
    await page.screenshot({ path: join(OUT, `${name}-${look}.png`) });
    await page.setViewportSize(viewport);
  };
  await page.goto(`${scene.service.url}/console/`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await shoot('sign-in');
  await signIn(page, scene);
  for (const { name, route, press } of screensOf(scene)) {
    // A route of another screen in between: what was pressed is gone.
    await page.goto(`${scene.service.url}/console/#/nowhere`);
    await page.getByRole('heading', { level: 1, name: 'No such page' }).waitFor();
    await page.goto(`${scene.service.url}/console/#/${route}`);
    await page.getByRole('heading', { level: 1, name: 'No such page' }).waitFor({ state: 'detached' });
    await settled(page);
    if (press !== undefined) await page.getByRole('button', { name: press, exact: true }).first().click();
    await shoot(name);
    if (name === 'overview' && viewport.width === 1280 && process.argv.includes('--readme')) {
      // Down to the end of the chart.
      await page.setViewportSize({ width: viewport.width, height: 710 });
      await page.screenshot({ path: join(IMAGES, `console-${colorScheme}.png`) });
      await page.setViewportSize(viewport);
    }
  }
  await context.close();
  return [...faults, ...wide].map((fault) => `${look}: ${fault}`);
}

/** As a customer by a link, and as the operator. */
async function signIn(page: Page, { service, operator, customer }: Scene): Promise<void> {
  const { url } = await operator.call('createConsoleLink', { cid: customer.customerId });
  await page.goto(url);
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await page.goto(`${service.url}/console/#/operator`);
  await page.getByLabel('Operator token').fill(service.home.operatorToken);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
}
