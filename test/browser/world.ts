/** What every browser test needs: profiles of one Chromium, customers, links, events and the scripted listener. */
import { type components, OperatorClient, WebhooksClient } from '@identity-webhooks/client';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject } from 'vitest';
import { launchChromium, NO_CHROMIUM, newProfile, type Profile } from '../../tools/harness/browser.ts';
import { pause } from '../../tools/harness/processes.ts';
import type { Answer, Call } from '../support/listener-script.ts';

/** A safety net that names what a test waits for in vain, ms. */
const GIVE_UP_MS = 240_000;

export const NARROW = { width: 360, height: 740 } as const;
export const WIDE = { width: 1280, height: 800 } as const;

let browser: Browser | undefined;
const open: Profile[] = [];

/** For each test file: one Chromium, fresh profiles in each test, and no fault in any page. */
export function useBrowser(): void {
  beforeAll(async () => {
    const world = inject('browserWorld');
    if (world !== undefined) browser = await launchChromium(world.chromium);
  });
  beforeEach((context) => {
    if (browser === undefined) context.skip(NO_CHROMIUM);
  });
  afterEach(async () => {
    const faults = open.flatMap((profile) => profile.faults);
    for (const { context } of open.splice(0)) await context.close();
    expect(faults).toEqual([]);
  });
  afterAll(async () => {
    await browser?.close();
    browser = undefined;
  });
}

export function world() {
  const given = inject('browserWorld');
  if (given === undefined) throw new Error(NO_CHROMIUM);
  return given;
}

/** A page in a profile of its own, which a test may share between pages by `page.context()`. */
export async function newPage(options: BrowserContextOptions = {}): Promise<Page> {
  if (browser === undefined) throw new Error(NO_CHROMIUM);
  const profile = await newProfile(browser, { viewport: WIDE, ...options });
  open.push(profile);
  return await profile.context.newPage();
}

export const consoleUrl = (route = '') => `${world().url}/console/#/${route}`;

export function operator(): OperatorClient {
  return new OperatorClient({ baseUrl: world().url, token: world().operatorToken });
}

/** A customer with a client that may do everything. */
export async function newCustomer(name: string): Promise<WebhooksClient> {
  const { id: cid } = await operator().call('createCustomer', { body: { name } });
  const client = await operator().call('createClient', { cid, body: { name: 'backend' } });
  return new WebhooksClient({ baseUrl: world().url, customerId: cid, ...client });
}

/** @returns the URL of a console link */
export async function newLink(customer: WebhooksClient, readOnly = false): Promise<string> {
  const made = await operator().call('createConsoleLink', { cid: customer.customerId, body: { readOnly } });
  return made.url;
}

/** @returns a page that is signed in, at the overview of the customer */
export async function openConsole(
  customer: WebhooksClient,
  options: BrowserContextOptions & { readonly readOnly?: boolean } = {},
): Promise<Page> {
  const { readOnly = false, ...rest } = options;
  const page = await newPage(rest);
  await page.goto(await newLink(customer, readOnly));
  await heading(page, 'Overview');
  return page;
}

/** @returns a page that is signed in as the operator, at the overview */
export async function openOperator(options: BrowserContextOptions = {}): Promise<Page> {
  const page = await newPage(options);
  await page.goto(consoleUrl('operator'));
  await page.getByLabel('Operator token').fill(world().operatorToken);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await heading(page, 'Overview');
  return page;
}

/** Waits for the heading of a screen. */
export async function heading(page: Page, name: string | RegExp): Promise<void> {
  await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
}

/** Goes to a screen without loading the page again, as a link does. */
export async function go(page: Page, route: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, `#/${route}`);
}

export const hook = (name: string) => `${world().listenerUrl}/hooks/${name}`;

/** Sets the answers of a hook, in order; the last one repeats. */
export async function script(name: string, ...answers: Answer[]): Promise<void> {
  await fetch(`${world().listenerUrl}/scripts/${name}`, { method: 'PUT', body: JSON.stringify(answers) });
}

export async function calls(name: string): Promise<Call[]> {
  return (await (await fetch(`${world().listenerUrl}/scripts/${name}/calls`)).json()) as Call[];
}

type NewSubscription = components['schemas']['NewSubscription'];

/** @param name of the hook that is its endpoint */
export async function subscribe(
  customer: WebhooksClient,
  name: string,
  more: Partial<NewSubscription> = {},
): Promise<string> {
  const events = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;
  const body = { title: name, endpoint: hook(name), events: [...events], ...more };
  return (await customer.call('createSubscription', { body })).id;
}

/** @returns the ids of the events */
export async function publish(customer: WebhooksClient, count = 1): Promise<readonly string[]> {
  return await customer.publish(
    Array.from({ length: count }, () => ({
      type: 'entityCreated' as const,
      captureApplicationId: 'aabc1de2f3ghi4jklm5n67opq8',
      captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
      entityType: 'user',
      sub: crypto.randomUUID(),
    })),
  );
}

/** Waits until a subscription has so many events in a state. */
export async function untilEvents(
  customer: WebhooksClient,
  sid: string,
  state: 'success' | 'failure',
  count = 1,
): Promise<void> {
  await until(
    async () =>
      (await customer.call('listEvents', { sid, query: { state } }))._embedded.events.length >= count,
    `${count} events in ${state}`,
  );
}

/** @throws Error that names what does not come */
export async function until(ask: () => Promise<boolean>, what: string): Promise<void> {
  for (const deadline = Date.now() + GIVE_UP_MS; !(await ask()); await pause(100)) {
    if (Date.now() > deadline) throw new Error(`gave up waiting for ${what}`);
  }
}
