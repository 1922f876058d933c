/** A client that knows one address and the names of relations, and takes every other address from the answers. */
import { exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { until } from '../support/until.ts';
import { anEvent, BASE_URL, newCustomer, newSubscription, type TestCustomer } from '../support/world.ts';

/** The relations that are called by POST (contract 3.2, 5.1); all others are read by GET. */
const ACTIONS: readonly string[] = ['test', 'redeliver'];

interface Visit {
  readonly href: string;
  readonly rel: string;
  readonly status: number;
  readonly text: string;
}

/** Makes one call to an href exactly as an answer gave it. */
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

/** Follows every link from this answer on, once for each relation and href. */
async function follow(customer: TestCustomer, start: Visit): Promise<Visit[]> {
  const visits = [start];
  const seen = new Set<string>();
  for (const { rel: from, text } of visits) {
    // The file of an export has no links, and it is the only answer that is not JSON.
    for (const [rel, href] of from === 'download' ? [] : linksIn(JSON.parse(text))) {
      if (seen.has(`${rel} ${href}`)) continue;
      seen.add(`${rel} ${href}`);
      visits.push(await visit(customer, rel, href));
    }
  }
  return visits;
}

function expectValidLinks(customer: TestCustomer, visits: readonly Visit[]): void {
  for (const { rel, href, status } of visits) {
    expect(href, rel).toMatch(new RegExp(`^/${customer.id}/webhooks/[^\\s#]+$`));
    // A redelivery is refused if the event did not fail, or within a minute of another one (contract 5.4).
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

describe('a client that follows links', () => {
  it('following links reaches every kind of resource, and each href is path-only and answered', async () => {
    const customer = await newCustomer();
    const { subscription, eventId } = await newFailedEvent(customer);
    const start = await visit(customer, 'self', `/${customer.id}/webhooks/subscriptions`);
    const visits = await follow(customer, start);
    expectValidLinks(customer, visits);
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

  it('the event link of a history leads to the event', async () => {
    const customer = await newCustomer();
    const { eventId } = await newFailedEvent(customer);
    const visits = await follow(
      customer,
      await visit(customer, 'self', `/${customer.id}/webhooks/subscriptions`),
    );
    const event = visits.find(({ rel }) => rel === 'event');
    expect(JSON.parse(event?.text ?? '{}')).toMatchObject({ id: eventId });
  });

  it('the links of a started export lead to its job and its file', async () => {
    const customer = await newCustomer();
    const { subscription, eventId } = await newFailedEvent(customer);
    // A subscription has no link to its exports (contract 3.2), so this is the path of contract 7.
    const exportsHref = `/${customer.id}/webhooks/subscriptions/${subscription.id}/exports`;
    const started = await visit(customer, 'exports', exportsHref, 'POST');
    expect(started.status).toBe(202);
    expectValidLinks(customer, await follow(customer, started));
    const done = await until(async () => {
      await subscription.ring();
      const visits = await follow(customer, await visit(customer, 'exports', exportsHref));
      return visits.some(({ rel }) => rel === 'download') && visits;
    }, 'the completed job');
    expectValidLinks(customer, done);
    const file = done.find(({ rel }) => rel === 'download');
    expect(JSON.parse(file?.text ?? '{}')).toMatchObject({ id: eventId, state: 'failure' });
    expect(done.some(({ rel, text }) => rel === 'self' && JSON.parse(text).state === 'completed')).toBe(true);
  });

  it('the page links lead to every page of events and of subscriptions', async () => {
    const customer = await newCustomer();
    const subscription = await newSubscription(customer);
    await customer.call('POST', '/events', [anEvent(), anEvent(), anEvent()]);
    await until(async () => (await subscription.events()).length === 3, 'three events');
    const list = `/${customer.id}/webhooks/subscriptions`;
    const events = `${list}/${subscription.id}/events?limit=1`;
    const pages = await follow(customer, await visit(customer, 'self', events));
    expectValidLinks(customer, pages);
    expect(pages.filter(({ rel }) => rel === 'next')).toHaveLength(2);
    const rest = await follow(customer, await visit(customer, 'self', `${list}?page=1`));
    expectValidLinks(customer, rest);
    expect(rest.map(({ rel }) => rel)).toEqual(expect.arrayContaining(['first', 'last']));
  });
});
