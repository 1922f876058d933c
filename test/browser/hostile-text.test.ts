/** Texts that customers and listeners choose, of the worst kind: they are shown as text, and everything still fits a narrow window. */
import type { WebhooksClient } from '@identity-webhooks/client';
import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { launchChromium, newProfile, settled } from '../../tools/harness/browser.ts';
import { makeDeadLetter } from '../../tools/harness/dead-letter.ts';
import {
  consoleUrl,
  go,
  heading,
  hook,
  NARROW,
  newCustomer,
  openConsole,
  openOperator,
  operator,
  publish,
  script,
  subscribe,
  untilEvents,
  useBrowser,
  world,
} from './world.ts';

useBrowser();

const MARKUP = '<img src=x onerror="document.title=String(1)"><script>document.title=2</script>';
const LONG = 'W'.repeat(200);
/** Turns the letters after it around, up to the end of the paragraph. */
const TURNED = 'Profile \u202egnp.exe \u2067sync';
const TITLES = [MARKUP, LONG, TURNED];

let customer: WebhooksClient;
const sids: string[] = [];
let eid = '';
let letter = '';

beforeAll(async () => {
  if (inject('browserWorld') === undefined) return;
  customer = await newCustomer(MARKUP);
  const answer = JSON.stringify({ err: MARKUP, description: `${TURNED} ${LONG}` });
  const headers = { 'Content-Type': 'application/json', 'X-Answer': `${MARKUP}${LONG}` };
  await script('hostile', { status: 400, headers, body: answer });
  for (const [index, title] of TITLES.entries())
    sids.push(
      await subscribe(customer, 'hostile', {
        title,
        endpoint: `${hook('hostile')}/${index}/${LONG}?q=${LONG}`,
      }),
    );
  for (const name of TITLES)
    await operator().call('createClient', { cid: customer.customerId, body: { name: name.slice(0, 200) } });
  const [id = ''] = await customer.publish([
    {
      type: 'entityCreated',
      captureApplicationId: MARKUP.slice(0, 60),
      captureClientId: 'client',
      entityType: 'user',
      sub: crypto.randomUUID(),
    },
  ]);
  eid = id;
  await publish(customer);
  letter = await makeDeadLetter(operator(), world().producerUrl, customer.customerId, MARKUP);
  for (const sid of sids) await untilEvents(customer, sid, 'failure', 2);
});

/** @returns what is wrong with the screen that is shown */
async function judge(page: Page, route: string): Promise<string[]> {
  await settled(page);
  const { over, made, title } = await page.evaluate(() => ({
    over: document.documentElement.scrollWidth - innerWidth,
    made: document.querySelectorAll('img, body script, [onerror]').length,
    title: document.title,
  }));
  return [
    ...(over > 0 ? [`#/${route} is ${over} px wider than the window`] : []),
    ...(made > 0 ? [`#/${route} has elements that a text made`] : []),
    ...(/^[12]$/.test(title) ? [`#/${route} ran a script of a text`] : []),
  ];
}

async function judgeAll(page: Page, screens: readonly (readonly [string, string | RegExp])[]) {
  const found: string[] = [];
  for (const [route, title] of screens) {
    await go(page, route);
    await heading(page, title);
    found.push(...(await judge(page, route)));
  }
  return found;
}

describe('hostile text', () => {
  it('titles, endpoints, reasons and headers of a customer are text, and fit a narrow window', async () => {
    const page = await openConsole(customer, { viewport: NARROW });
    const screens = sids.flatMap((sid, index) => {
      const title = TITLES[index] ?? '';
      return [
        [`subscriptions/${sid}`, title],
        [`subscriptions/${sid}/edit`, 'Edit the subscription'],
        [`subscriptions/${sid}/events`, title],
        [`subscriptions/${sid}/events/${eid}`, 'Created event'],
        [`subscriptions/${sid}/redeliveries`, title],
      ] as const;
    });
    const found = await judgeAll(page, [
      ['', 'Overview'],
      ['subscriptions', 'Subscriptions'],
      ...screens,
      [`find?id=${eid}`, 'Find an event'],
    ]);
    expect(found).toEqual([]);
    await go(page, `subscriptions/${sids[0]}/events/${eid}`);
    await page.getByText('Why it failed:').waitFor();
    expect(await page.getByText('Why it failed:').locator('..').textContent()).toContain(MARKUP.slice(0, 30));
  });

  it('a title with 200 letters and no space fits the dialog that deletes its subscription', async () => {
    const page = await openConsole(customer, { viewport: NARROW });
    await go(page, `subscriptions/${sids[1]}`);
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('dialog').waitFor();
    const over = await page.getByRole('dialog').evaluate((dialog) => dialog.scrollWidth - dialog.clientWidth);
    expect(over).toBe(0);
    await page.getByLabel('Type the name to confirm').fill(LONG);
    await page.getByRole('button', { name: 'Delete it' }).isEnabled();
  });

  it('names of customers and clients, and dead letters, are text for the operator', async () => {
    const page = await openOperator({ viewport: NARROW });
    const { customerId } = customer;
    const found = await judgeAll(page, [
      ['operator/customers', 'Customers'],
      [`operator/customers/${customerId}`, MARKUP],
      ['operator/endpoints', 'Endpoints in trouble'],
      ['operator/dead-letters', 'Dead letters'],
      [`operator/dead-letters/${letter}`, 'Dead letter'],
      ['operator/audit', 'Audit'],
    ]);
    expect(found).toEqual([]);
  });

  it('a title with marks that turn letters around turns nothing around it', async () => {
    const page = await openConsole(customer);
    const event = `subscriptions/${sids[2]}/events/${eid}`;
    for (const route of ['', 'subscriptions', event, `find?id=${eid}`]) {
      await go(page, route);
      await page.locator('main').getByText('exe').first().waitFor();
      await settled(page);
      const inline = await page.locator('main').evaluate((main) => {
        const holds = ({ nodeType, textContent }: Node) => nodeType === 3 && textContent?.includes('\u202e');
        const elements = [...main.querySelectorAll('*')].filter(({ childNodes }) =>
          [...childNodes].some(holds),
        );
        return elements.map((element) => {
          const { display, unicodeBidi } = getComputedStyle(element);
          return display !== 'inline' || unicodeBidi === 'isolate' ? 'apart' : element.outerHTML;
        });
      });
      expect(inline.length, route).toBeGreaterThan(0);
      expect(
        inline.filter((one) => one !== 'apart'),
        route,
      ).toEqual([]);
    }
  });

  it('hostile parameters of an address are text, and break no screen', async () => {
    const page = await openConsole(customer, { viewport: NARROW });
    const text = encodeURIComponent(MARKUP);
    const found = await judgeAll(page, [
      [`subscriptions/${text}`, 'Subscription'],
      [`subscriptions/${sids[0]}/events/${text}`, 'Event'],
      [`${text}/${LONG}`, 'No such page'],
      [`find?id=${text}`, 'Find an event'],
      ['%E0%A4%A', 'No such page'],
    ]);
    expect(found).toEqual([]);
  });
});

describe('the watch over pages', () => {
  it('the watch reports a script that the policy forbids, and an error', async () => {
    const browser = await launchChromium(world().chromium);
    try {
      const { context, faults } = await newProfile(browser);
      const page = await context.newPage();
      await page.goto(consoleUrl());
      await heading(page, 'Sign in');
      expect(faults).toEqual([]);
      const reported = page.waitForEvent('console', (message) => message.text().startsWith('CSP forbids'));
      await page.evaluate((markup) => {
        document.body.insertAdjacentHTML('beforeend', markup);
        queueMicrotask(() => {
          throw new Error('on purpose');
        });
      }, MARKUP);
      await reported;
      await page.waitForFunction(() => true);
      expect(faults.join('\n')).toContain('CSP forbids');
      expect(faults.join('\n')).toContain('on purpose');
      expect(await page.title()).toContain('Sign in');
    } finally {
      await browser.close();
    }
  });
});
