/** `iw stats`: figures of a subscription, of all subscriptions of a customer, or of the whole service (contract 10.14, 10.2). */
import type { ItemOf, ResultOf, WebhooksClient } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples, findSubscription, wholeNumber } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import {
  answerTimeOf,
  type Day,
  daysOf,
  type HourFigures,
  halfWithin,
  most,
  number,
} from '../figures-view.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { count, time } from '../text.ts';

type Stats = ResultOf<'getSubscriptionStats'>;
type Page = ResultOf<'listStats'>;
/** What a page says of all its subscriptions stands at each of them: pages are read one after the other, and an hour may end between two. */
type Row = Pick<Page, 'from' | 'until' | 'answerTimeBoundsMs' | 'exact'> & ItemOf<'listStats'>;
type OperatorStats = ResultOf<'getOperatorStats'>;

interface Options {
  readonly hours?: number;
  readonly operator?: boolean;
}

/** So long the service keeps figures (contract 10.14). */
const HOURS_MAX = 168;
/** More hours than this are shown by day. */
const HOURS_IN_LINES = 24;
const AT_LEAST = 'Not everything is counted yet: the figures are at least these.';
const DAY_OLD = '(up to a day old)';
const STATES = ['failing', 'slow', 'unverified', 'healthy'];

const COLUMNS: readonly Column<Row>[] = [
  { title: 'TITLE', of: ({ title }) => title, shrinks: true },
  { title: 'DELIVERED', of: ({ totals }) => number(totals.delivered) },
  { title: 'FAILED', of: ({ totals }) => number(totals.failed) },
  { title: 'WAITING', of: ({ waiting }) => number(waiting) },
  { title: 'HEALTH', of: ({ enabled, health }) => (enabled ? health.state : 'disabled') },
  { title: 'LAST DELIVERED', of: ({ lastDeliveredAt }) => time(lastDeliveredAt) },
];

const DAY_COLUMNS: readonly Column<Day>[] = [
  { title: 'DAY', of: ({ day }) => day.slice(5) },
  { title: 'DELIVERED', of: ({ delivered }) => number(delivered) },
  { title: 'FAILED', of: ({ failed }) => number(failed) },
  { title: 'DELIVERED BY HOUR', of: ({ deliveredByHour }) => deliveredByHour.padEnd(24) },
  { title: 'FAILED BY HOUR', of: ({ failedByHour }) => failedByHour },
];

const QUEUE_COLUMNS: readonly Column<OperatorStats['queues'][number]>[] = [
  { title: 'QUEUE', of: ({ name }) => name },
  { title: 'MESSAGES', of: ({ backlogMessages }) => number(backlogMessages) },
  { title: 'BYTES', of: ({ backlogBytes }) => number(backlogBytes) },
  { title: 'OLDEST', of: ({ oldestMessageAt }) => time(oldestMessageAt) },
];

export function addStats(program: Command, begin: Begin): void {
  examples(
    program
      .command('stats')
      .summary('what was delivered, what failed, what waits')
      .description(
        'Shows figures: of one subscription, by hour, or of all subscriptions of the customer, the worst first. With --operator they are of the whole service. ' +
          '--quiet prints the numbers delivered, failed and waiting of a subscription or the service in one line, and ids of subscriptions otherwise.',
      )
      .argument('[subscription]', 'the id or the exact title of a subscription; default: all of them')
      .option(
        '--hours <number>',
        'so many hours, the running one among them, up to 168; without it 168 of one subscription, 24 of all',
        wholeNumber(1, HOURS_MAX),
      )
      .option('--operator', 'the whole service: its last day, endpoints, queues; needs the operator token')
      .action(async (given: string | undefined, options: Options) => {
        const session = begin();
        if (options.operator) await showService(session, given, options);
        else if (given === undefined) await showAll(session, options);
        else await showOne(session, given, options);
      }),
    'iw stats "Profile sync"',
    'iw stats --hours 2',
    'iw stats --operator --json',
  );
}

/** @throws Failure that names the other command when the profile can only act as the operator */
function customerOf(session: Session): WebhooksClient {
  const { profile, clientId, operatorToken } = session.settings;
  if (clientId === undefined && operatorToken !== undefined) {
    throw new Failure(
      'notAuthorised',
      `The profile ${profile} has no client for this customer, and these figures belong to the customer.`,
      'The figures of the whole service: iw stats --operator',
    );
  }
  return session.customer();
}

async function showOne(session: Session, given: string, { hours }: Options): Promise<void> {
  const client = customerOf(session);
  const sid = await findSubscription(client, given);
  const stats = await client.call('getSubscriptionStats', { sid, query: queryOf(hours) });
  const { totals, waiting, exact } = stats;
  if (session.options.json) return session.json(stats);
  if (session.options.quiet) session.print(`${totals.delivered} ${totals.failed} ${waiting}`);
  else showStats(session, stats);
  if (!exact) session.note(AT_LEAST);
}

function showStats(session: Session, stats: Stats): void {
  const { from, until, totals, waiting, oldestWaitingAt, lastDeliveredAt, hours, answerTimeBoundsMs } = stats;
  session.fields([
    ['From', `${time(from)} to ${time(until)}`],
    ['Delivered', number(totals.delivered)],
    ['Failed', number(totals.failed)],
    ['Attempts', number(totals.attempts)],
    ['Answers', answerTimeOf(totals, answerTimeBoundsMs) ?? 'no successful request'],
    ['Waiting', waitingSince(waiting, oldestWaitingAt)],
    ['Last delivered', lastDeliveredAt === undefined ? 'none in the last seven days' : time(lastDeliveredAt)],
  ]);
  session.print('');
  if (hours.length <= HOURS_IN_LINES) {
    session.table(hours, hourColumns(answerTimeBoundsMs));
    return;
  }
  session.table(daysOf(hours), DAY_COLUMNS);
  const [delivered, failed] = [most(hours, 'delivered'), most(hours, 'failed')];
  const highest =
    delivered + failed === 0
      ? ''
      : ` The highest ones are ${number(delivered)} delivered, and ${number(failed)} failed.`;
  session.note(`A character is an hour (UTC).${highest}`);
}

function hourColumns(boundsMs: readonly number[]): readonly Column<HourFigures>[] {
  return [
    { title: 'HOUR', of: ({ hour }) => `${hour.slice(0, 16).replace('T', ' ')}Z` },
    { title: 'DELIVERED', of: ({ delivered }) => number(delivered) },
    { title: 'FAILED', of: ({ failed }) => number(failed) },
    { title: 'ATTEMPTS', of: ({ attempts }) => number(attempts) },
    { title: 'HALF WITHIN', of: (figures) => halfWithin(figures, boundsMs) },
  ];
}

async function showAll(session: Session, { hours }: Options): Promise<void> {
  const rows = await allStats(session, customerOf(session), hours);
  const items = rows.toSorted(byTrouble);
  session.list({ items, columns: COLUMNS, idOf: ({ id }) => id, none: 'subscriptions' });
  const { json, quiet } = session.options;
  if (json || items.length === 0) return;
  if (!quiet) session.note(`From ${time(rows[0]?.from)} to ${time(rows.at(-1)?.until)}.`);
  if (!items.every(({ exact }) => exact)) session.note(AT_LEAST);
}

async function allStats(
  session: Session,
  client: WebhooksClient,
  hours: number | undefined,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for await (const page of client.pages('listStats', { query: queryOf(hours) })) {
    const { from, until, answerTimeBoundsMs, exact, _embedded } = page;
    rows.push(..._embedded.subscriptions.map((one) => ({ from, until, answerTimeBoundsMs, exact, ...one })));
    if (page._links.next !== undefined) session.progress(`${count(rows.length, 'subscription')} read …`);
  }
  return rows;
}

/** Endpoints in trouble now, then most failures, then most that wait. */
function byTrouble(a: Row, b: Row): number {
  return troubleOf(a) - troubleOf(b) || b.totals.failed - a.totals.failed || b.waiting - a.waiting;
}

function troubleOf({ enabled, health }: Row): number {
  return STATES.indexOf(enabled ? health.state : 'healthy');
}

async function showService(session: Session, given: string | undefined, { hours }: Options): Promise<void> {
  if (given !== undefined || hours !== undefined) {
    throw usage(
      'With --operator the figures are of the whole service and its last day.',
      'Leave out the subscription and --hours, or --operator.',
    );
  }
  const stats = await session.operator().call('getOperatorStats');
  const { delivered, failed, waiting } = stats;
  if (session.options.json) return session.json(stats);
  if (session.options.quiet) return session.print(`${delivered.lastDay} ${failed.lastDay} ${waiting}`);
  showOperatorStats(session, stats);
}

function showOperatorStats(session: Session, stats: OperatorStats): void {
  const { at, accepted, delivered, failed, waiting, oldestWaitingAt, customers, subscriptions, deadLetters } =
    stats;
  const { total, disabled, failing, slow, unverified } = subscriptions;
  const { fullestPercent, above50Percent, above80Percent } = stats.stores;
  const day = [
    `${number(accepted.lastDay)} accepted`,
    `${number(delivered.lastDay)} delivered`,
    `${number(failed.lastDay)} failed`,
  ].join(', ');
  session.fields([
    ['At', time(at)],
    ['Last day', `${day} ${DAY_OLD}`],
    ['Waiting', `${waitingSince(waiting, oldestWaitingAt)} ${DAY_OLD}`],
    ['Customers', number(customers)],
    ['Subscriptions', `${number(total)}, ${number(disabled)} of them disabled`],
    ['Endpoints', `${number(failing)} failing, ${number(slow)} slow, ${number(unverified)} unverified`],
    ['Dead letters', number(deadLetters)],
    [
      'Event stores',
      `the fullest ${fullnessOf(fullestPercent)}; ${number(above50Percent)} from 50 % on, ${number(above80Percent)} from 80 % on`,
    ],
  ]);
  session.print('');
  if (stats.queues.length === 0) session.note('The platform gives no metrics of the queues at the moment.');
  else session.table(stats.queues, QUEUE_COLUMNS);
  session.note(
    'The last day and what waits are what each event store said at its daily visit. The rest is of now.',
  );
  if (failing + slow + unverified > 0)
    session.note('Which endpoints: iw endpoints --state failing, slow or unverified');
  if (deadLetters > 0) session.note('Which dead letters: iw dead-letters list');
}

/** @param percent rounded down to a multiple of 10 */
function fullnessOf(percent: number): string {
  if (percent === 0) return 'less than 10 % full';
  return percent >= 100 ? 'full' : `${percent} % to ${percent + 10} % full`;
}

function waitingSince(waiting: number, oldest: string | undefined): string {
  return oldest === undefined ? number(waiting) : `${number(waiting)}, the oldest since ${time(oldest)}`;
}

function queryOf(hours: number | undefined) {
  return hours === undefined ? {} : { hours };
}
