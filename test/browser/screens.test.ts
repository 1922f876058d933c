/** Each screen of the console, in both colour schemes, wide and narrow: what axe finds, and whether something is wider than the window. */
import { AxeBuilder } from '@axe-core/playwright';
import type { WebhooksClient } from '@identity-webhooks/client';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { settled } from '../../tools/harness/browser.ts';
import { makeDeadLetter } from '../../tools/harness/dead-letter.ts';
import {
  consoleUrl,
  go,
  heading,
  NARROW,
  newCustomer,
  newLink,
  newPage,
  openConsole,
  openOperator,
  operator,
  publish,
  script,
  subscribe,
  untilEvents,
  useBrowser,
  WIDE,
  world,
} from './world.ts';

useBrowser();

interface Screen {
  readonly route: string;
  readonly title: string | RegExp;
  /** What is done on the screen before it is judged. */
  readonly act?: (page: Page) => Promise<void>;
}

const VARIANTS = (['light', 'dark'] as const).flatMap((colorScheme) =>
  [WIDE, NARROW].map((viewport) => ({ colorScheme, viewport, width: viewport.width })),
);

let customer: WebhooksClient;
let sid: string;
let eid: string;
let letter: string;

/** One endpoint that fails, one that works and is filtered, and one that has nothing yet. */
beforeAll(async () => {
  if (inject('browserWorld') === undefined) return;
  customer = await newCustomer('Screens Ltd.');
  sid = await subscribe(customer, 'screens-failing', { title: 'Profile sync' });
  const filter = { properties: { entityUpdated: { required: ['attributes'] } } };
  const works = await subscribe(customer, 'screens-working', { title: 'Data warehouse', filter });
  await subscribe(customer, 'screens-idle', { title: 'Not in use', enabled: false });
  await script('screens-failing', { status: 503, headers: { 'Retry-After': '1', Server: 'listener' } });
  [eid = ''] = await publish(customer, 3);
  letter = await makeDeadLetter(operator(), world().producerUrl, customer.customerId, 'no-such-type');
  await untilEvents(customer, sid, 'failure', 3);
  await untilEvents(customer, works, 'success', 3);
  await customer.call('startExport', { sid });
});

const button = (name: string) => async (page: Page) => {
  await page.getByRole('button', { name, exact: true }).first().click();
};

async function openMenu(page: Page): Promise<void> {
  const menu = page.getByLabel('Menu');
  if (await menu.isVisible()) await menu.click();
}

const customerScreens = (): Screen[] => [
  { route: '', title: 'Overview' },
  { route: '?hours=168', title: 'Overview', act: button('Show as a table') },
  { route: 'subscriptions', title: 'Subscriptions', act: openMenu },
  { route: `subscriptions/${sid}`, title: 'Profile sync' },
  { route: `subscriptions/${sid}?test`, title: 'Profile sync', act: button('Send a test') },
  { route: `subscriptions/${sid}/edit`, title: 'Edit the subscription', act: button('Some attributes') },
  {
    route: 'subscriptions/new',
    title: 'Create a subscription',
    act: async (page) => {
      await button('Create')(page);
      await page.getByText('Enter the URL of your listener.').waitFor();
    },
  },
  { route: `subscriptions/${sid}/events`, title: 'Profile sync' },
  { route: `subscriptions/${sid}/events?state=success`, title: 'Profile sync' },
  {
    route: `subscriptions/${sid}/events/${eid}`,
    title: 'Created event',
    act: button('Show a curl command that repeats the request'),
  },
  {
    route: `subscriptions/${sid}/redeliveries`,
    title: 'Profile sync',
    act: async (page) => {
      await button('See what would be sent')(page);
      await button('Look again')(page);
    },
  },
  { route: `subscriptions/${sid}/exports`, title: 'Profile sync' },
  { route: `subscriptions/${sid}?delete`, title: 'Profile sync', act: button('Delete…') },
  { route: `find?id=${eid}`, title: 'Find an event' },
  { route: 'keys', title: 'Keys' },
  { route: 'nowhere/at/all', title: 'No such page' },
  { route: 'subscriptions/unknown', title: 'Subscription' },
];

const operatorScreens = (): Screen[] => [
  { route: 'operator', title: 'Overview' },
  { route: 'operator/customers', title: 'Customers', act: button('Create a customer') },
  { route: `operator/customers/${customer.customerId}`, title: 'Screens Ltd.' },
  {
    route: `operator/customers/${customer.customerId}?link`,
    title: 'Screens Ltd.',
    act: async (page) => {
      await button('Open the console as this customer')(page);
      await button('Make the link')(page);
      await page.getByText('Open it in a new tab').waitFor();
    },
  },
  {
    route: `operator/customers/${customer.customerId}?client`,
    title: 'Screens Ltd.',
    act: button('Create a client'),
  },
  {
    route: `operator/customers/${customer.customerId}?delete`,
    title: 'Screens Ltd.',
    act: async (page) => await page.getByRole('button', { name: 'Delete…', exact: true }).last().click(),
  },
  { route: 'operator/endpoints', title: 'Endpoints in trouble' },
  { route: 'operator/endpoints?state=unverified', title: 'Endpoints in trouble' },
  { route: 'operator/dead-letters', title: 'Dead letters', act: openMenu },
  { route: `operator/dead-letters/${letter}`, title: 'Dead letter', act: button('Drop…') },
  { route: 'operator/audit', title: 'Audit' },
  { route: 'operator/notices', title: 'Notices' },
];

/** @returns what is wrong with the screen that is shown */
async function judge(page: Page, name: string): Promise<string[]> {
  await settled(page);
  const { violations } = await new AxeBuilder({ page }).setLegacyMode().analyze();
  const found = violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary = '' }) => `${name}: ${id} at ${target}: ${failureSummary}`),
  );
  const { over, spilled, widest } = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    spilled: [...document.querySelectorAll('td, tbody th, dd, li, .tile')]
      .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1)
      .map(({ textContent }) => textContent),
    widest: [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
      .map(({ tagName, className }) => `${tagName}.${className}`)
      .slice(0, 5),
  }));
  if (over > 0) found.push(`${name} is ${over} px wider than the window: ${widest.join(', ')}`);
  found.push(...spilled.map((text) => `${name}: a text lies over what is beside it: ${text}`));
  return found;
}

async function judgeAll(page: Page, screens: readonly Screen[]): Promise<string[]> {
  const found: string[] = [];
  for (const { route, title, act } of screens) {
    // Between two routes of one screen, such as a dialog and the screen behind it, nothing may be left.
    await go(page, 'nowhere');
    await heading(page, 'No such page');
    await go(page, route);
    await heading(page, title);
    await settled(page);
    await act?.(page);
    found.push(...(await judge(page, `#/${route}`)));
  }
  return found;
}

describe.each(VARIANTS)('screens in the $colorScheme scheme, $width px wide', ({ colorScheme, viewport }) => {
  const look = { colorScheme, viewport, reducedMotion: 'reduce' } as const;

  it('every screen of a customer fits the window, and axe finds nothing', async () => {
    const page = await openConsole(customer, look);
    expect(await judgeAll(page, customerScreens())).toEqual([]);
  });

  it('every screen of the operator fits the window, and axe finds nothing', async () => {
    const page = await openOperator(look);
    // `nowhere` is a screen of the customer, who signs in too.
    await page.goto(await newLink(customer));
    await heading(page, 'Overview');
    expect(await judgeAll(page, operatorScreens())).toEqual([]);
  });

  it('both forms to sign in fit the window, and axe finds nothing', async () => {
    const page = await newPage(look);
    const found: string[] = [];
    for (const [route, title] of [
      ['', 'Sign in'],
      ['operator', 'Sign in as the operator'],
    ] as const) {
      await page.goto(consoleUrl(route));
      await heading(page, title);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('alert').first().waitFor();
      found.push(...(await judge(page, title)));
    }
    expect(found).toEqual([]);
  });
});
