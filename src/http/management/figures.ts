/** Figures by hour over HTTP (contract 10.14): of one subscription, and of all subscriptions of a customer. */
import { z } from 'zod';
import { lastHours } from '../../domain/figures.ts';
import { FIGURES_HOURS_MAX, FIGURES_LIMIT_MAX, STORES_PER_UNIT } from '../../domain/limits.ts';
import { SHOWN_STATES } from '../../domain/proof.ts';
import type { StoreFigures } from '../../event-store/rpc.ts';
import { findFigures } from '../../operations/find-figures.ts';
import { listSubscriptionStates, type SubscriptionState } from '../../storage/subscriptions.ts';
import { type AppContext, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import {
  everyHour,
  FIGURES_EXAMPLE,
  FiguresResource,
  figuresResource,
  HourResource,
  SPAN_EXAMPLE,
  spanResource,
  spanShape,
  sumOf,
  waitingResource,
  waitingShape,
} from '../kit/figures-resource.ts';
import { figuresHref, statsHref, subscriptionHref } from '../kit/hrefs.ts';
import { Link, link } from '../kit/links.ts';
import { notFound, withSubscription } from '../kit/load.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forClients } from '../kit/route.ts';
import {
  afterSubscription,
  customerPath,
  id,
  jsonContent,
  limitParameter,
  subscriptionPath,
  time,
  wholeNumber,
} from '../kit/schemas.ts';
import { takeUnits } from '../kit/work.ts';

/** Hours that a page over all subscriptions shows without `hours`. */
const HOURS_OF_ALL = 24;

const hoursParameter = (usual: number) =>
  limitParameter(FIGURES_HOURS_MAX, `so many hours, the running one among them; ${usual} without it`);

const SubscriptionStats = z
  .object({
    ...spanShape,
    totals: FiguresResource,
    ...waitingShape,
    hours: z
      .array(HourResource)
      .meta({ description: 'each hour, oldest first; the running one is the last' }),
    _links: z.object({ self: Link, subscription: Link }),
  })
  .meta({ id: 'SubscriptionStats' });

const SUBSCRIPTION = { customerId: EXAMPLE.customer, id: EXAMPLE.subscription };

const subscriptionRoute = declareOwnRoute({
  method: 'get',
  path: '/subscriptions/{sid}/stats',
  operationId: 'getSubscriptionStats',
  summary: 'Figures of a subscription by hour',
  description: 'Delivered, failed, attempts and answer times of up to seven days, and what waits.',
  ...forClients('Subscriptions'),
  middleware: withSubscription,
  request: { params: subscriptionPath, query: z.object({ hours: hoursParameter(FIGURES_HOURS_MAX) }) },
  responses: {
    200: {
      description: 'The figures',
      content: jsonContent(SubscriptionStats, {
        ...SPAN_EXAMPLE,
        totals: FIGURES_EXAMPLE,
        waiting: 3,
        oldestWaitingAt: EXAMPLE.early,
        lastDeliveredAt: EXAMPLE.late,
        hours: [{ hour: EXAMPLE.early, ...FIGURES_EXAMPLE }],
        _links: { self: link(statsHref(SUBSCRIPTION)), subscription: link(subscriptionHref(SUBSCRIPTION)) },
      }),
    },
    ...problems(400, 403, 404, 429),
  },
});

const SubscriptionFigures = z
  .object({
    id,
    title: z.string(),
    enabled: z.boolean(),
    health: z.object({ state: z.enum(SHOWN_STATES), since: time }),
    totals: FiguresResource,
    delivered: z.array(wholeNumber).meta({ description: 'by hour, as in hours' }),
    failed: z.array(wholeNumber).meta({ description: 'by hour, as in hours' }),
    ...waitingShape,
    _links: z.object({ self: Link, stats: Link }),
  })
  .meta({ id: 'SubscriptionFigures' });

const CustomerStats = z
  .object({
    ...spanShape,
    totals: FiguresResource.meta({ description: 'of the subscriptions of this page' }),
    hours: z.array(HourResource),
    _embedded: z.object({ subscriptions: z.array(SubscriptionFigures) }),
    _links: z.object({ self: Link, next: Link.optional() }),
  })
  .meta({ id: 'CustomerStats' });

const StatsQuery = z.object({
  hours: hoursParameter(HOURS_OF_ALL),
  limit: limitParameter(FIGURES_LIMIT_MAX, `at most so many subscriptions; ${FIGURES_LIMIT_MAX} without it`),
  after: afterSubscription,
});

const SELF = figuresHref(EXAMPLE.customer);

const customerRoute = declareOwnRoute({
  method: 'get',
  path: '/stats',
  operationId: 'listStats',
  summary: 'Figures of all subscriptions by hour',
  description: 'A page asks the event stores of up to `limit` subscriptions, the oldest first.',
  ...forClients('Subscriptions'),
  request: { params: customerPath, query: StatsQuery },
  responses: {
    200: {
      description: 'The figures',
      content: jsonContent(CustomerStats, {
        ...SPAN_EXAMPLE,
        totals: FIGURES_EXAMPLE,
        hours: [{ hour: EXAMPLE.early, ...FIGURES_EXAMPLE }],
        _embedded: {
          subscriptions: [
            {
              id: EXAMPLE.subscription,
              title: 'Profile sync',
              enabled: true,
              health: { state: 'healthy', since: EXAMPLE.early },
              totals: FIGURES_EXAMPLE,
              delivered: [120],
              failed: [2],
              waiting: 3,
              oldestWaitingAt: EXAMPLE.early,
              lastDeliveredAt: EXAMPLE.late,
              _links: { self: link(subscriptionHref(SUBSCRIPTION)), stats: link(statsHref(SUBSCRIPTION)) },
            },
          ],
        },
        _links: { self: link(SELF), next: link(`${SELF}?after=${EXAMPLE.subscription}`) },
      }),
    },
    ...problems(400, 403, 404, 429),
  },
});

export function addFigures(door: Door): void {
  addOfSubscription(door);
  addOfCustomer(door);
}

function addOfSubscription(door: Door): void {
  door.openapi(subscriptionRoute, async (c) => {
    const subscription = c.get('subscription');
    const hours = lastHours(Date.now(), Number(c.req.valid('query').hours ?? FIGURES_HOURS_MAX));
    await takeUnits(c, 1);
    const figures = await c
      .get('services')
      .eventStore(subscription)
      .figures(hours[0] ?? 0);
    const each = everyHour(hours, figures.hours);
    return c.json(
      {
        ...spanResource(hours, figures.at, figures.isExact),
        totals: figuresResource(sumOf(each)),
        ...waitingResource(figures),
        hours: each.map((one) => ({ hour: timestamp(one.hour), ...figuresResource(one) })),
        _links: {
          self: selfOf(c, statsHref(subscription)),
          subscription: link(subscriptionHref(subscription)),
        },
      },
      200,
    );
  });
}

function addOfCustomer(door: Door): void {
  door.openapi(customerRoute, async (c) => {
    const { cid } = c.req.valid('param');
    const query = c.req.valid('query');
    const size = Number(query.limit ?? FIGURES_LIMIT_MAX);
    const now = Date.now();
    const hours = lastHours(now, Number(query.hours ?? HOURS_OF_ALL));
    await takeUnits(c, 1);
    const found = await listSubscriptionStates(c.get('services').db, cid, size + 1, query.after);
    if (found === undefined) throw notFound('Subscription');
    const asked = found.slice(0, size);
    await takeUnits(c, Math.ceil(asked.length / STORES_PER_UNIT) - 1);
    const figures = await findFigures(c.get('services'), asked, hours[0] ?? 0);
    const ofEach = figures.map((one) => everyHour(hours, one.hours));
    const each = hours.map((hour, index) => ({
      hour: timestamp(hour),
      ...figuresResource(sumOf(ofEach.flatMap((one) => one[index] ?? []))),
    }));
    const resources = asked.flatMap((state, index) => {
      const one = figures[index];
      return one === undefined ? [] : [subscriptionFigures(cid, state, hours, one)];
    });
    const exact = figures.every(({ isExact }) => isExact);
    const next = found.length > size ? asked.at(-1)?.id : undefined;
    return c.json(
      {
        ...spanResource(hours, now, exact),
        totals: figuresResource(sumOf(each)),
        hours: each,
        _embedded: { subscriptions: resources },
        _links: linksOf(c, figuresHref(cid), next),
      },
      200,
    );
  });
}

function subscriptionFigures(
  customerId: string,
  { id, title, enabled, health, healthSince, createdAt }: SubscriptionState,
  hours: readonly number[],
  figures: StoreFigures,
): z.infer<typeof SubscriptionFigures> {
  const each = everyHour(hours, figures.hours);
  const names = { customerId, id };
  return {
    id,
    title,
    enabled,
    health: { state: health, since: timestamp(Math.max(healthSince, createdAt)) },
    totals: figuresResource(sumOf(each)),
    delivered: each.map(({ delivered }) => delivered),
    failed: each.map(({ failed }) => failed),
    ...waitingResource(figures),
    _links: { self: link(subscriptionHref(names)), stats: link(statsHref(names)) },
  };
}

function selfOf(c: AppContext, path: string): Link {
  const query = new URL(c.req.url).searchParams;
  return link(query.size === 0 ? path : `${path}?${query}`);
}

function linksOf(c: AppContext, path: string, nextAfter: string | undefined) {
  const self = selfOf(c, path);
  if (nextAfter === undefined) return { self };
  const query = new URL(c.req.url).searchParams;
  query.set('after', nextAfter);
  return { self, next: link(`${path}?${query}`) };
}
