/** Figures for the operator (contract 10.2): as JSON, and as text for Prometheus. They are made of copies in D1, and ask no event store. */
import { z } from 'zod';
import { type Backlog, readBacklogs } from '../../operations/read-backlogs.ts';
import { type OperatorFigures, readOperatorFigures } from '../../storage/figures.ts';
import { type AppContext, timestamp } from '../kit/context.ts';
import type { Door } from '../kit/door.ts';
import { EXAMPLE } from '../kit/examples.ts';
import { problems } from '../kit/problems.ts';
import { declareOwnRoute, forOperator } from '../kit/route.ts';
import { jsonContent, time, wholeNumber } from '../kit/schemas.ts';

const ofLastDay = z
  .object({ lastDay: wholeNumber })
  .meta({ description: 'as each event store said at its daily visit: up to a day old' });

const OperatorStats = z
  .object({
    at: time,
    accepted: ofLastDay,
    delivered: ofLastDay,
    failed: ofLastDay,
    customers: wholeNumber,
    subscriptions: z.object({
      total: wholeNumber,
      disabled: wholeNumber,
      unverified: wholeNumber.meta({
        description: 'enabled, and its endpoint is not verified; likewise the next two',
      }),
      slow: wholeNumber,
      failing: wholeNumber,
    }),
    waiting: wholeNumber.meta({ description: 'events that are not final, at the daily visits' }),
    oldestWaitingAt: time.optional(),
    deadLetters: wholeNumber,
    queues: z
      .array(
        z.object({
          name: z.string(),
          backlogMessages: wholeNumber,
          backlogBytes: wholeNumber,
          oldestMessageAt: time.optional(),
        }),
      )
      .meta({ description: 'without queues whose metrics cannot be read now' }),
    stores: z.object({
      fullestPercent: wholeNumber,
      above50Percent: wholeNumber.meta({ description: 'event stores that are at least half full' }),
      above80Percent: wholeNumber,
    }),
  })
  .meta({ id: 'OperatorStats' });
type OperatorStats = z.infer<typeof OperatorStats>;

const EXAMPLE_STATS: OperatorStats = {
  at: EXAMPLE.late,
  accepted: { lastDay: 86_400 },
  delivered: { lastDay: 86_000 },
  failed: { lastDay: 12 },
  customers: 40,
  subscriptions: { total: 320, disabled: 12, unverified: 1, slow: 2, failing: 3 },
  waiting: 410,
  oldestWaitingAt: EXAMPLE.early,
  deadLetters: 0,
  queues: [
    { name: 'webhook-events', backlogMessages: 3, backlogBytes: 12_000, oldestMessageAt: EXAMPLE.early },
  ],
  stores: { fullestPercent: 30, above50Percent: 0, above80Percent: 0 },
};

const statsRoute = declareOwnRoute({
  method: 'get',
  path: '/stats',
  operationId: 'getOperatorStats',
  summary: 'Figures of the whole service',
  ...forOperator(),
  responses: {
    200: { description: 'The figures', content: jsonContent(OperatorStats, EXAMPLE_STATS) },
    ...problems(403),
  },
});

/** What Prometheus calls its text format. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const metricsRoute = declareOwnRoute({
  method: 'get',
  path: '/metrics',
  operationId: 'getMetrics',
  summary: 'The same figures as text for Prometheus',
  ...forOperator(),
  responses: {
    200: {
      description: 'The text format of Prometheus, version 0.0.4',
      content: { 'text/plain': { schema: z.string(), example: metricsOf(EXAMPLE_STATS).slice(0, 120) } },
    },
    ...problems(403),
  },
});

export function addFigures(door: Door): void {
  door.openapi(statsRoute, async (c) => c.json(await readStats(c), 200));
  door.openapi(metricsRoute, async (c) => {
    const text = metricsOf(await readStats(c));
    return c.text(text, 200, { 'content-type': METRICS_TYPE });
  });
}

async function readStats(c: AppContext): Promise<OperatorStats> {
  const services = c.get('services');
  const [figures, queues] = await Promise.all([readOperatorFigures(services.db), readBacklogs(services)]);
  return statsOf(figures, queues, Date.now());
}

function statsOf(figures: OperatorFigures, queues: readonly Backlog[], now: number): OperatorStats {
  const { subscriptions, disabled, unverified, slow, failing, oldestWaitingAt } = figures;
  return {
    at: timestamp(now),
    accepted: { lastDay: figures.accepted },
    delivered: { lastDay: figures.delivered },
    failed: { lastDay: figures.failed },
    customers: figures.customers,
    subscriptions: { total: subscriptions, disabled, unverified, slow, failing },
    waiting: figures.waiting,
    ...(oldestWaitingAt === null ? {} : { oldestWaitingAt: timestamp(oldestWaitingAt) }),
    deadLetters: figures.deadLetters,
    queues: queues.map(({ name, messages, bytes, oldestAt }) => ({
      name,
      backlogMessages: messages,
      backlogBytes: bytes,
      ...(oldestAt === undefined ? {} : { oldestMessageAt: timestamp(oldestAt) }),
    })),
    stores: {
      fullestPercent: 10 * figures.fullestTenths,
      above50Percent: figures.halfFull,
      above80Percent: figures.nearlyFull,
    },
  };
}

/** A value with its labels. */
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

/** The figures in the text format of Prometheus. All are gauges: nothing here only grows. */
function metricsOf(stats: OperatorStats): string {
  const { subscriptions, queues, stores } = stats;
  const seconds = (at: string) => Date.parse(at) / 1000;
  const one = (value: number): Sample[] => [[{}, value]];
  const gauges: readonly (readonly [name: string, help: string, samples: readonly Sample[]])[] = [
    [
      'accepted_last_day',
      'Deliveries taken in 24 hours, as of the daily visits.',
      one(stats.accepted.lastDay),
    ],
    [
      'delivered_last_day',
      'Deliveries that succeeded in 24 hours, as of the daily visits.',
      one(stats.delivered.lastDay),
    ],
    [
      'failed_last_day',
      'Deliveries that failed in 24 hours, as of the daily visits.',
      one(stats.failed.lastDay),
    ],
    ['customers', 'Customers.', one(stats.customers)],
    ['subscriptions', 'Subscriptions.', one(subscriptions.total)],
    ['subscriptions_disabled', 'Subscriptions that are disabled.', one(subscriptions.disabled)],
    [
      'endpoints_in_trouble',
      'Endpoints of enabled subscriptions by state.',
      (['unverified', 'slow', 'failing'] as const).map((state) => [{ state }, subscriptions[state]]),
    ],
    ['waiting_deliveries', 'Deliveries that are not final, as of the daily visits.', one(stats.waiting)],
    [
      'oldest_waiting_timestamp_seconds',
      'When the delivery that waits longest was accepted, as of the daily visits. Absent: none waits.',
      stats.oldestWaitingAt === undefined ? [] : one(seconds(stats.oldestWaitingAt)),
    ],
    ['dead_letters', 'Messages in the list of dead letters.', one(stats.deadLetters)],
    [
      'queue_backlog_messages',
      'Messages that wait in a queue.',
      queues.map(({ name, backlogMessages }) => [{ queue: name }, backlogMessages]),
    ],
    [
      'queue_backlog_bytes',
      'Bytes that wait in a queue.',
      queues.map(({ name, backlogBytes }) => [{ queue: name }, backlogBytes]),
    ],
    [
      'queue_oldest_message_timestamp_seconds',
      'When the oldest message of a queue was sent. Absent: the queue is empty, or does not say.',
      queues.flatMap(({ name, oldestMessageAt }) =>
        oldestMessageAt === undefined ? [] : [[{ queue: name }, seconds(oldestMessageAt)] as const],
      ),
    ],
    [
      'fullest_store_ratio',
      'How full the fullest event store is, from 0 to 1.',
      one(stores.fullestPercent / 100),
    ],
    [
      'stores_filled',
      'Event stores that are at least so full, in percent.',
      [
        [{ percent: '50' }, stores.above50Percent],
        [{ percent: '80' }, stores.above80Percent],
      ],
    ],
  ];
  return gauges.map(([name, help, samples]) => gauge(`identity_webhooks_${name}`, help, samples)).join('');
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('')}`;
}

/** The value of a label: three characters are escaped. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
