/** Who may see and do what: a customer nothing of another, a read-only link nothing that changes, a session that is over nothing at all. */
import type { WebhooksClient } from '@identity-webhooks/client';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../tools/harness/browser.ts';
import {
  consoleUrl,
  go,
  heading,
  newCustomer,
  newLink,
  newPage,
  openConsole,
  operator,
  publish,
  script,
  subscribe,
  untilEvents,
  useBrowser,
  world,
} from './world.ts';

useBrowser();

/** @returns the access token that the page uses, once it has made a call with one */
async function tokenOf(page: Page): Promise<string> {
  const request = page.waitForRequest((one) => one.headers()['authorization'] !== undefined);
  await page.reload();
  return (await request).headers()['authorization'] ?? '';
}

/** The status of a call that is made with the token of a page. */
async function statusOf(token: string, method: string, path: string, body?: unknown): Promise<number> {
  const headers = { authorization: token, 'content-type': 'application/json' };
  const sent = body === undefined ? {} : { body: JSON.stringify(body) };
  return (await fetch(world().url + path, { method, headers, ...sent })).status;
}

async function failedEvent(customer: WebhooksClient, name: string, title: string) {
  const sid = await subscribe(customer, name, { title });
  await script(name, { status: 302 });
  const [eid = ''] = await publish(customer);
  await untilEvents(customer, sid, 'failure');
  return { sid, eid };
}

describe('a link of one customer', () => {
  it('a page that is signed in as one customer shows nothing of another, and its token reaches nothing', async () => {
    const own = await newCustomer('Own customer');
    const other = await newCustomer('Other customer');
    await subscribe(own, 'isolation-own', { title: 'Own subscription' });
    const { sid, eid } = await failedEvent(other, 'isolation-other', 'Secret plans');
    const page = await openConsole(own);
    for (const [route, title] of [
      [`subscriptions/${sid}`, 'Subscription'],
      [`subscriptions/${sid}/edit`, 'Edit the subscription'],
      [`subscriptions/${sid}/events`, 'Subscription'],
      [`subscriptions/${sid}/events/${eid}`, 'Event'],
      [`subscriptions/${sid}/redeliveries`, 'Subscription'],
      [`subscriptions/${sid}/exports`, 'Subscription'],
    ] as const) {
      await go(page, route);
      await heading(page, title);
      await page.getByRole('alert').first().waitFor();
      expect(await page.locator('main').textContent()).not.toContain('Secret plans');
    }
    await go(page, `find?id=${eid}`);
    await page.getByText('No subscription has this event').waitFor();
    await go(page, 'subscriptions');
    await page.getByText('Own subscription').waitFor();
    expect(await page.locator('main').textContent()).not.toContain('Secret plans');

    const token = await tokenOf(page);
    const theirs = `/${other.customerId}/webhooks`;
    const paths = ['/subscriptions', `/subscriptions/${sid}`, `/subscriptions/${sid}/events`, '/stats'];
    for (const path of paths) expect(await statusOf(token, 'GET', theirs + path), path).toBe(403);
    expect(await statusOf(token, 'DELETE', `${theirs}/subscriptions/${sid}`)).toBe(403);
    expect(await statusOf(token, 'GET', '/operator/customers')).toBe(403);
    expect(await statusOf(token, 'GET', `/${own.customerId}/webhooks/subscriptions/${sid}`)).toBe(404);
    await go(page, 'operator/customers');
    await heading(page, 'Sign in as the operator');
  });
});

/** Buttons and links of a read-only session that change nothing. */
const HARMLESS =
  /^(Skip to the content|Menu|Sign out|Show as a table|Hide the table|Clear the filters|Find|Look again|Try again|Show a curl command that repeats the request|Show older events|Copy the .+)$/;

describe('a read-only link', () => {
  it('no screen of a read-only session has a button that changes something', async () => {
    const customer = await newCustomer('Reader');
    const { sid, eid } = await failedEvent(customer, 'read-only', 'Profile sync');
    const page = await openConsole(customer, { readOnly: true });
    await page.getByText('Read-only').first().waitFor();
    const others: string[] = [];
    for (const [route, title] of [
      ['', 'Overview'],
      ['subscriptions', 'Subscriptions'],
      [`subscriptions/${sid}`, 'Profile sync'],
      [`subscriptions/${sid}/events`, 'Profile sync'],
      [`subscriptions/${sid}/events/${eid}`, 'Created event'],
      [`subscriptions/${sid}/redeliveries`, 'Profile sync'],
      [`subscriptions/${sid}/exports`, 'Profile sync'],
      [`find?id=${eid}`, 'Find an event'],
      ['keys', 'Keys'],
    ] as const) {
      await go(page, route);
      await heading(page, title);
      await settled(page);
      const names = await page
        .getByRole('button')
        .evaluateAll((all) =>
          all.map((one) => one.getAttribute('aria-label') ?? (one as HTMLElement).textContent.trim()),
        );
      others.push(...names.filter((name) => !HARMLESS.test(name)).map((name) => `#/${route}: ${name}`));
      const links = await page.locator('a[href$="/new"], a[href$="/edit"]').count();
      if (links > 0) others.push(`#/${route}: a link to a form`);
    }
    expect(others).toEqual([]);
  });

  it('the token of a read-only session changes nothing', async () => {
    const customer = await newCustomer('Reader with a token');
    const { sid, eid } = await failedEvent(customer, 'read-only-token', 'Profile sync');
    const page = await openConsole(customer, { readOnly: true });
    const token = await tokenOf(page);
    const root = `/${customer.customerId}/webhooks`;
    const one = `${root}/subscriptions/${sid}`;
    expect(await statusOf(token, 'GET', one)).toBe(200);
    for (const [method, path, body] of [
      ['POST', `${root}/subscriptions`, { title: 'x1', endpoint: 'https://a.example', events: [] }],
      ['PATCH', one, { enabled: false }],
      ['DELETE', one, undefined],
      ['POST', `${one}/test`, undefined],
      ['POST', `${one}/events/${eid}/redeliver`, undefined],
      ['POST', `${one}/redeliveries`, {}],
      ['POST', `${one}/exports`, undefined],
      ['POST', `${root}/events`, []],
    ] as const)
      expect(await statusOf(token, method, path, body), `${method} ${path}`).toBe(403);
    expect(await customer.call('getSubscription', { sid })).toMatchObject({ enabled: true });
  });

  it('a read-only session gets words instead of a form at the address of the form', async () => {
    const customer = await newCustomer('Reader with an address');
    const sid = await subscribe(customer, 'read-only-form', { title: 'Profile sync' });
    const page = await openConsole(customer, { readOnly: true });
    await go(page, `subscriptions/${sid}/edit`);
    await page.getByText('This session may read and change nothing').waitFor();
    expect(await page.getByLabel('Title').count()).toBe(0);
    await go(page, 'subscriptions/new');
    await heading(page, 'Create a subscription');
    await page.getByText('This session may read and change nothing').waitFor();
    expect(await customer.call('getSubscription', { sid })).toMatchObject({ title: 'Profile sync' });
  });
});

describe('a console link', () => {
  it('a link works once: the second browser reads what to do, and gets nothing', async () => {
    const customer = await newCustomer('Once');
    const url = await newLink(customer);
    const first = await newPage();
    await first.goto(url);
    await heading(first, 'Overview');
    const second = await newPage();
    await second.goto(url);
    await second.getByText('This link was used before or has ended.').waitFor();
    await heading(second, 'Sign in');
    expect(await second.context().cookies()).toEqual([]);
  });

  it('the code of a link leaves the address, and no script can read the session', async () => {
    const customer = await newCustomer('Code');
    const page = await newPage();
    const url = await newLink(customer);
    await page.goto(url);
    await heading(page, 'Overview');
    expect(page.url()).toBe(consoleUrl());
    expect(
      await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage })),
    ).toBe('{}');
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Strict', path: '/' });
    await page.goBack().catch(() => undefined);
    expect(page.url()).not.toContain('sign-in');
  });

  it('a link with a page in it leads to that page', async () => {
    const customer = await newCustomer('Deep link');
    const sid = await subscribe(customer, 'deep-link', { title: 'Profile sync' });
    const page = await newPage();
    await page.goto(`${await newLink(customer)}?to=/subscriptions/${sid}/events`);
    await heading(page, 'Profile sync');
    expect(page.url()).toBe(consoleUrl(`subscriptions/${sid}/events`));
  });

  it.each(['//evil.example/', '/\\evil.example', 'https://evil.example/', 'javascript:alert(1)'])(
    'a link that says to=%s stays at the console',
    async (to) => {
      const customer = await newCustomer('Open redirect');
      const page = await newPage();
      await page.goto(`${await newLink(customer)}?to=${encodeURIComponent(to)}`);
      await settled(page);
      await page.getByText('Open redirect').first().waitFor();
      expect(new URL(page.url()).origin).toBe(world().url);
    },
  );
});

describe('a session', () => {
  it('an address of a screen survives signing in with the credentials of a client', async () => {
    const customer = await newCustomer('Developer');
    const sid = await subscribe(customer, 'developer', { title: 'Profile sync' });
    const page = await newPage();
    await page.goto(consoleUrl(`subscriptions/${sid}/events?state=failure`));
    await signInAsDeveloper(page, customer);
    await heading(page, 'Profile sync');
    expect(page.url()).toBe(consoleUrl(`subscriptions/${sid}/events?state=failure`));
    expect(await page.getByLabel('State').inputValue()).toBe('failure');
  });

  it('a wrong secret is refused in words, and the other fields keep what was typed', async () => {
    const customer = await newCustomer('Typo');
    const page = await newPage();
    await page.goto(consoleUrl());
    await page.getByLabel('Customer id').fill(customer.customerId);
    await page.getByLabel('Client id').fill('00000000-0000-4000-8000-000000000000');
    await page.getByLabel('Client secret').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Customer, client or secret is wrong.').waitFor();
    expect(await page.getByLabel('Customer id').inputValue()).toBe(customer.customerId);
  });

  it('a sign-out ends the session, for this page and for the next', async () => {
    const customer = await newCustomer('Leaver');
    const page = await openConsole(customer);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    await page.goto(consoleUrl('keys'));
    await page.reload();
    await heading(page, 'Sign in');
    expect(await page.context().cookies()).toEqual([]);
  });

  it('a session that ends while a page is open leads to the sign-in, and then back to the same place', async () => {
    const customer = await newCustomer('Long look');
    const sid = await subscribe(customer, 'long-look', { title: 'Profile sync' });
    const page = await newPage();
    await page.clock.install();
    await page.goto(await newLink(customer));
    await heading(page, 'Overview');
    await go(page, `subscriptions/${sid}/events?state=failure`);
    await heading(page, 'Profile sync');

    const otherTab = await page.context().newPage();
    await otherTab.goto(consoleUrl());
    await otherTab.getByRole('button', { name: 'Sign out' }).click();
    await otherTab.getByText('You are signed out.').waitFor();
    await otherTab.close();
    // Longer than an access token lives.
    await page.clock.fastForward('11:00');
    await page.getByText('Your session has ended. Sign in again; you stay on this page.').waitFor();
    await signInAsDeveloper(page, customer);
    await heading(page, 'Profile sync');
    expect(page.url()).toBe(consoleUrl(`subscriptions/${sid}/events?state=failure`));
  });

  it('a customer and the operator are signed in side by side, and one signs out alone', async () => {
    const customer = await newCustomer('Side by side');
    const page = await openConsole(customer);
    await page.goto(consoleUrl('operator'));
    await page.getByLabel('Operator token').fill(world().operatorToken);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await heading(page, 'Overview');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    await page.goto(consoleUrl());
    await heading(page, 'Overview');
    await page.getByText('Side by side').first().waitFor();
  });
});

async function signInAsDeveloper(page: Page, customer: WebhooksClient): Promise<void> {
  const { customerId: cid } = customer;
  const { clientId, clientSecret } = await operator().call('createClient', {
    cid,
    body: { name: 'developer' },
  });
  await page.getByLabel('Customer id').fill(cid);
  await page.getByLabel('Client id').fill(clientId);
  await page.getByLabel('Client secret').fill(clientSecret);
  await page.getByRole('button', { name: 'Sign in' }).click();
}
