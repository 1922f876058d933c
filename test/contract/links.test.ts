/** A client that knows one address and the names of relations; every other address it takes from answers. */
import { exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { anEvent, BASE_URL, newCustomer, newSubscription, type TestCustomer } from '../support/world.ts';

/** The relations that act when they are posted to (contract 3.2, 5.1); all others are read. */
const ACTIONS: readonly string[] = ['test', 'redeliver'];

interface Visit {
  readonly href: string;
  readonly rel: string;
  readonly status: number;
  readonly text: string;
}

/** One call by an href as an answer gave it. */
async function visit(customer: TestCustomer, rel: string, href: string, method?: string): Promise<Visit> {
  const response = await exports.default.fetch(BASE_URL + href, {
    method: method ?? (ACTIONS.includes(rel) ? 'POST' : 'GET'),
    headers: { authorization: `Bearer ${customer.token}` },
  });
  return { href, rel, status: response.status, text: await response.text() };
}

/** Every `_links.{rel}.href` of an answer, however deep. */
function linksIn(value: unknown): [rel: string, href: string][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]): [string, string][] => {
    if (key !== '_links') return linksIn(member);
    return Object.entries(member as Record<string, { href: string }>).map(([rel, { href }]) => [rel, href]);
  });
}

/** Follows every link from these answers on, each once under each name it is given. */
async function follow(customer: TestCustomer, start: Visit): Promise<Visit[]> {
  const visits = [start];
  const seen = new Set<string>();
  for (const { rel: from, text } of visits) {
    // The file of an export is the one answer that is not a JSON value, and has no links.
    for (const [rel, href] of from === 'download' ? [] : linksIn(JSON.parse(text))) {
      if (seen.has(`${rel} ${href}`)) continue;
      seen.add(`${rel} ${href}`);
      visits.push(await visit(customer, rel, href));
    }
  }
  return visits;
}

function expectSound(customer: TestCustomer, visits: readonly Visit[]): void {
  for (const { rel, href, status } of visits) {
    expect(href, rel).toMatch(new RegExp(`^/${customer.id}/webhooks/[^\\s#]+$`));
    // An event that did not fail, or a second redelivery within a minute, is refused (contract 5.4).
    expect(rel === 'redeliver' ? [202, 409, 429] : [200, 202], `${rel} ${href}`).toContain(status);
  }
}

async function newFailedEvent(customer: TestCustomer) {
  const subscription = await newSubscription(customer, { answers: [{ status: 302 }, {}] });
  const published = await customer.call('POST', '/events', anEvent());
  const eventId = published.body._embedded.events[0].id as string;
  await until(async () => (await subscription.event(eventId)).state === 'failure', 'the failure');
  return { subscription, eventId };
}

describe('a client that follows links from the list of subscriptions', () => {
  it('reaches every kind of resource, each href path-only and answered', async () => {
    const customer = await newCustomer();
    const { subscription, eventId } = await newFailedEvent(customer);
    const start = await visit(customer, 'self', `/${customer.id}/webhooks/subscriptions`);
    const visits = await follow(customer, start);
    expectSound(customer, visits);
    const reached = (rel: string, kind: (body: Record<string, unknown>) => boolean) =>
      expect(
        visits.some((one) => one.rel === rel && kind(JSON.parse(one.text))),
        rel,
      ).toBe(true);
    reached('self', ({ id, title }) => id === subscription.id && title !== undefined);
    reached('events', ({ total }) => total === 1);
    reached('summary', ({ exportable }) => exportable === 1);
    reached('test', ({ state }) => state !== undefined);
    reached('self', ({ id, request }) => id === eventId && request !== undefined);
    reached('history', ({ _embedded }) => Array.isArray((_embedded as { history: unknown }).history));
    expect(visits.find(({ href }) => href.endsWith(`/${eventId}/redeliver`))?.status).toBe(202);
  });

  it('reaches the event from its history, by the link that only a history has', async () => {
    const customer = await newCustomer();
    const { eventId } = await newFailedEvent(customer);
    const visits = await follow(
      customer,
      await visit(customer, 'self', `/${customer.id}/webhooks/subscriptions`),
    );
    const event = visits.find(({ rel }) => rel === 'event');
    expect(JSON.parse(event?.text ?? '{}')).toMatchObject({ id: eventId });
  });

  it('reaches the job and the file of an export it started', async () => {
    const customer = await newCustomer();
    const { subscription, eventId } = await newFailedEvent(customer);
    // A subscription has no link to its exports (contract 3.2): the path of contract 7 is appended.
    const exportsHref = `/${customer.id}/webhooks/subscriptions/${subscription.id}/exports`;
    const started = await visit(customer, 'exports', exportsHref, 'POST');
    expect(started.status).toBe(202);
    expectSound(customer, await follow(customer, started));
    const done = await until(async () => {
      await subscription.ring();
      const visits = await follow(customer, await visit(customer, 'exports', exportsHref));
      return visits.some(({ rel }) => rel === 'download') && visits;
    }, 'the completed job');
    expectSound(customer, done);
    const file = done.find(({ rel }) => rel === 'download');
    expect(JSON.parse(file?.text ?? '{}')).toMatchObject({ id: eventId, state: 'failure' });
    expect(done.some(({ rel, text }) => rel === 'self' && JSON.parse(text).state === 'completed')).toBe(true);
  });

  it('reaches every page of events and of subscriptions', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    await customer.call('POST', '/events', [anEvent(), anEvent(), anEvent()]);
    await until(async () => (await subscription.events()).length === 3, 'three events');
    const list = `/${customer.id}/webhooks/subscriptions`;
    const events = `${list}/${subscription.id}/events?limit=1`;
    const pages = await follow(customer, await visit(customer, 'self', events));
    expectSound(customer, pages);
    expect(pages.filter(({ rel }) => rel === 'next')).toHaveLength(2);
    const rest = await follow(customer, await visit(customer, 'self', `${list}?page=1`));
    expectSound(customer, rest);
    expect(rest.map(({ rel }) => rel)).toEqual(expect.arrayContaining(['first', 'last']));
  });
});
