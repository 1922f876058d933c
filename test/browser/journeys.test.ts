/** What people come to the console for, from the first look to the end. The clicks are counted. */
import type { Locator, Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import {
  calls,
  go,
  heading,
  hook,
  newCustomer,
  newPage,
  openConsole,
  openOperator,
  publish,
  script,
  subscribe,
  until,
  untilEvents,
  useBrowser,
} from './world.ts';

useBrowser();

/** Clicks, and counts them. */
class Clicks {
  count = 0;

  async on(locator: Locator): Promise<void> {
    this.count++;
    await locator.click();
  }
}

const link = (page: Page, name: string | RegExp) => page.getByRole('link', { name });
const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name });
const rowsOf = (page: Page, caption: string) =>
  page.getByRole('table', { name: caption }).locator('tbody').getByRole('row');

/** Waits until a row of the table has all these texts. */
async function row(page: Page, caption: string, ...texts: (string | RegExp)[]): Promise<void> {
  let found = rowsOf(page, caption);
  for (const text of texts) found = found.filter({ hasText: text });
  await found.first().waitFor();
}

describe('a listener that breaks', () => {
  it('an administrator reads why an event failed, sends all failed events again and sees them arrive', async () => {
    const customer = await newCustomer('Broken listener');
    const sid = await subscribe(customer, 'breaks', { title: 'Profile sync' });
    await script('breaks', { status: 503 });
    await publish(customer, 3);
    await untilEvents(customer, sid, 'failure', 3);

    const page = await openConsole(customer);
    const why = new Clicks();
    await why.on(link(page, 'See why'));
    await why.on(rowsOf(page, 'Events, newest first').getByRole('link').first());
    await page.getByText('Why it failed:').waitFor();
    expect(await page.getByText('Why it failed:').locator('..').textContent()).toContain('503');
    expect(why.count).toBe(2);

    await script('breaks', { status: 200 });
    const again = new Clicks();
    await again.on(link(page, 'Profile sync'));
    await again.on(button(page, 'Send a test'));
    await again.on(page.getByRole('dialog').getByRole('button', { name: 'Send', exact: true }));
    await page.getByText('Your listener took the test.').waitFor();
    await again.on(page.getByRole('dialog').getByText('Close'));
    await again.on(link(page, 'Send again'));
    await again.on(button(page, 'See what would be sent'));
    await again.on(button(page, 'Send 3 events again'));
    await row(page, 'Earlier redeliveries, newest first', 'Completed', /Delivered3/);
    expect(again.count).toBe(7);

    await link(page, 'Events').click();
    await page.getByLabel('State').selectOption({ label: 'Delivered' });
    await until(
      async () => (await rowsOf(page, 'Events, newest first').count()) === 4,
      'the test and three events in the list',
    );
    await link(page, 'Overview').first().click();
    await heading(page, 'Overview');
    await page.getByText('Nothing. Every endpoint answers, and no failed event is left.').waitFor();
  });

  it('an administrator sends one failed event again from its own page', async () => {
    const customer = await newCustomer('One failure');
    const sid = await subscribe(customer, 'one-failure', { title: 'Billing' });
    await script('one-failure', { status: 302 }, {});
    const [eid = ''] = await publish(customer);
    await untilEvents(customer, sid, 'failure');

    const page = await openConsole(customer);
    const clicks = new Clicks();
    await clicks.on(link(page, 'See why'));
    await clicks.on(rowsOf(page, 'Events, newest first').getByRole('link').first());
    await page.getByText('Why it failed:').waitFor();
    await clicks.on(button(page, 'Send again'));
    await page.getByText('Delivered with HTTP 200').waitFor();
    expect(clicks.count).toBe(3);
    expect(page.url()).toContain(eid);
    expect(await calls('one-failure')).toHaveLength(2);
  });
});

/** The keyboard alone: it presses Tab until the focus is on what has this name. */
async function tabTo(page: Page, name: string | RegExp): Promise<void> {
  const passed: string[] = [];
  for (let steps = 0; steps < 80; steps++) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement as HTMLInputElement | null;
      const label = element?.labels?.[0]?.textContent;
      return element?.getAttribute('aria-label') ?? label ?? element?.textContent ?? '';
    });
    const isIt = typeof name === 'string' ? focused.trim() === name : name.test(focused);
    if (isIt) return;
    passed.push(focused.trim().slice(0, 30));
  }
  throw new Error(`Tab does not reach ${name}; it reached: ${passed.join(' | ')}`);
}

describe('a new subscription', () => {
  it('an administrator creates it, tests it and sees its first event arrive, by the keyboard alone', async () => {
    const customer = await newCustomer('Keyboard');
    const page = await openConsole(customer);
    await tabTo(page, 'Create a subscription');
    await page.keyboard.press('Enter');
    await heading(page, 'Create a subscription');
    await tabTo(page, 'Title');
    await page.keyboard.type('P');
    await tabTo(page, 'Endpoint');
    await page.keyboard.type('listener.example.com');
    await tabTo(page, 'entityCreated');
    await page.getByText('Give it a title of at least 2 characters.').waitFor();
    await page.getByText('A URL begins with https://').waitFor();
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type(hook('keyboard'));
    await page.keyboard.press('Shift+Tab');
    await page.keyboard.type('Profile sync');
    await page.keyboard.press('Enter');

    await heading(page, 'Profile sync');
    await tabTo(page, 'Send a test');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    await tabTo(page, 'Send');
    await page.keyboard.press('Enter');
    await page.getByText('Your listener took the test.').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const focused = () => page.evaluate(() => (document.activeElement as HTMLElement).textContent.trim());
    expect(await focused()).toBe('Send a test');

    await tabTo(page, 'Events');
    await page.keyboard.press('Enter');
    await row(page, 'Events, newest first', 'Test', 'Delivered');
    await publish(customer);
    await row(page, 'Events, newest first', 'Created', 'Delivered');
    await page.getByText('1 new event').waitFor({ state: 'attached' });
    expect((await calls('keyboard')).length).toBe(2);
  });

  it('a title that another subscription has is refused at its field, and what was typed stays', async () => {
    const customer = await newCustomer('Same title');
    await subscribe(customer, 'same-title', { title: 'Profile sync' });
    const page = await openConsole(customer);
    await go(page, 'subscriptions/new');
    await page.getByLabel('Title').fill('Profile sync');
    await page.getByLabel('Endpoint').fill(hook('same-title-2'));
    await button(page, 'Create').click();
    await page.getByRole('alert').first().waitFor();
    expect(await page.getByLabel('Title').inputValue()).toBe('Profile sync');
    expect(await page.getByLabel('Endpoint').inputValue()).toBe(hook('same-title-2'));
    expect((await customer.call('listSubscriptions')).total).toBe(1);
  });
});

describe('an operator', () => {
  it('the operator makes a customer, a client and a link, and sees who signed in with it', async () => {
    const page = await openOperator();
    await link(page, 'Customers').first().click();
    await heading(page, 'Customers');
    await button(page, 'Create a customer').click();
    await page.getByRole('dialog').getByLabel('Name').fill('Journey of an operator');
    await page.getByRole('dialog').getByRole('button', { name: 'Create', exact: true }).click();
    await heading(page, 'Journey of an operator');

    await button(page, 'Create a client').click();
    await page.getByRole('dialog').getByLabel('Name').fill('backend');
    await page.getByRole('dialog').getByRole('button', { name: 'Create', exact: true }).click();
    await page.getByText('The secret is shown this once.').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    expect(await button(page, 'Done').isDisabled()).toBe(true);
    await page.getByLabel('I have the secret.').check();
    await button(page, 'Done').click();
    await row(page, 'Clients', 'backend');

    await button(page, 'Open the console as this customer').click();
    await page.getByLabel('Read and change').check();
    await button(page, 'Make the link').click();
    const url = (await page.getByRole('dialog').locator('code').textContent()) ?? '';

    const theirs = await newPage();
    await theirs.goto(url);
    await heading(theirs, 'Overview');
    await theirs.getByText('Journey of an operator').waitFor();

    await page.getByRole('dialog').getByText('Close').click();
    await link(page, 'What was done to this customer, in the audit').click();
    await heading(page, 'Audit');
    await row(page, 'Audit entries, newest first', 'console-signed-in');
    await row(page, 'Audit entries, newest first', 'console-link-created');
    await row(page, 'Audit entries, newest first', 'client-created');
  });
});
