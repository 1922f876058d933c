/** `iw events`: what is stored for a subscription (contract 5, 10.12), where an event went (10.13), and publishing (10.1). */
import type { ItemOf, ResultOf } from '@identity-webhooks/client';
import { type Command, Option } from 'commander';
import {
  all,
  type Begin,
  examples,
  findSubscription,
  parseShownTypes,
  parseTime,
  readJson,
  take,
  wholeNumber,
} from '../command.ts';
import { answerOf, claimsOf, EVENT_COLUMNS, type Event, typeOf } from '../event-view.ts';
import { usage } from '../failure.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { tail } from '../tail.ts';
import { count, time } from '../text.ts';

type PublishBody = Parameters<ReturnType<Session['customer']>['publish']>[0];
type State = Event['state'];

const ARGUMENT = 'the id or the exact title of a subscription';
const STATES: readonly State[] = ['awaiting-executing', 'executing', 'awaiting-retry', 'success', 'failure'];
const LIMIT = 100;
/** The largest page (contract 5.2). */
const PAGE = 1000;
const PUBLISH_MAX_EVENTS = 500;

interface ListOptions {
  readonly order?: 'asc' | 'desc';
  readonly state?: State;
  readonly type?: string;
  readonly since?: string;
  readonly until?: string;
  readonly after?: string;
  readonly before?: string;
  readonly limit: number;
  readonly all?: boolean;
  readonly summary?: boolean;
}

export function addEvents(program: Command, begin: Begin): void {
  const events = program
    .command('events')
    .summary('search, show, follow and publish events')
    .description('Events of a subscription with their attempts, for seven days; and publishing.');
  examples(
    events
      .command('list')
      .description(
        'Lists the stored events of a subscription, oldest first unless --order desc is given. All options narrow the list together. A ' +
          'search that finds little among many events takes a while; it can be short with --since and --until.',
      )
      .argument('<subscription>', ARGUMENT)
      .addOption(
        new Option('--order <order>', 'asc: oldest first; desc: newest first').choices(['asc', 'desc']),
      )
      .addOption(new Option('--state <state>', 'only events in this state').choices(STATES))
      .option(
        '--type <types>',
        'only events of this type: created, updated, deleted or test, several with commas',
        parseShownTypes,
      )
      .option(
        '--since <time>',
        'only events that were accepted at this time or later, or since so long ago (1h)',
        parseTime(Date.now),
      )
      .option('--until <time>', 'only events that were accepted at this time or earlier', parseTime(Date.now))
      .option('--after <event>', 'only events after this event id')
      .option('--before <event>', 'only events before this event id')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1_000_000), LIMIT)
      .option('--all', 'all of them, however many')
      .option('--summary', 'with --json: without the request and its token, and with the type')
      .action(async (given: string, options: ListOptions) => await list(begin(), given, options)),
    'iw events list "Profile sync" --since 1h --state failure',
    'iw events list "Profile sync" --order desc --limit 20',
    'iw events list "Profile sync" --type updated,deleted --since 2026-01-31T08:00Z --until 2026-01-31T09:00Z',
    'iw events list "Profile sync" --all --json --summary > events.json',
  );
  examples(
    events
      .command('show')
      .description('Shows an event, and each change of its state with time and reason.')
      .argument('<subscription>', ARGUMENT)
      .argument('<event>', 'the id of an event')
      .option('--claims', 'show the claims of the token that is sent')
      .action(
        async (given: string, eid: string, { claims }: { claims?: boolean }) =>
          await show(begin(), given, eid, claims),
      ),
    'iw events show "Profile sync" 01890a5d-ac96-774b-bcce-b302099a8057',
    'iw events show "Profile sync" 01890a5d-ac96-774b-bcce-b302099a8057 --claims',
  );
  examples(
    events
      .command('where')
      .summary('show where an event went')
      .description(
        'Shows where an event went: its state at each subscription that has it. A deleted subscription is not shown, because its events ' +
          'were deleted with it.',
      )
      .argument('<event>', 'the id of an event')
      .action(async (eid: string) => await where(begin(), eid)),
    'iw events where 01890a5d-ac96-774b-bcce-b302099a8057',
  );
  examples(
    events
      .command('tail')
      .description(
        'Follows the events of a subscription: asks for new ones every few seconds and prints each once, until Ctrl-C. With --json one ' +
          'line for each event. An event is printed as it is found; what becomes of its retries is in "iw events show". An event whose ' +
          'producer chose an id that is much older than the newest one is not found.',
      )
      .argument('<subscription>', ARGUMENT)
      .option(
        '--since <time>',
        'begin with events that were accepted since this time, or so long ago (10m); now without it',
        parseTime(Date.now),
      )
      .option('--interval <seconds>', 'ask so often', wholeNumber(1, 3600), 2)
      .action(async (given: string, { since, interval }: { since?: string; interval: number }) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        await tail(session, client, { sid, since, intervalMs: interval * 1000 });
      }),
    'iw events tail "Profile sync"',
    'iw events tail "Profile sync" --since 1h --json | jq .state',
  );
  examples(
    events
      .command('publish')
      .description(
        'Publishes the event, or the array of up to 500 events, of a file. An event without an id gets one.',
      )
      .argument('<file>', 'a JSON file; - is standard input')
      .action(async (file: string) => await publish(begin(), file)),
    'iw events publish events.json',
    'generate-events | iw events publish -',
  );
}

async function list(
  session: Session,
  given: string,
  { limit, all, summary = false, ...search }: ListOptions,
): Promise<void> {
  const client = session.customer();
  const sid = await findSubscription(client, given);
  const most = all ? undefined : limit;
  // A table shows nothing of the request, so the service need not sign tokens for it.
  const isWhole = session.options.json && !summary;
  const query = {
    limit: Math.min(most ?? PAGE, PAGE),
    ...search,
    ...(isWhole ? {} : { fields: 'summary' as const }),
  };
  const { taken, more } = await take(client.items('listEvents', { sid, query }), most);
  session.list({ items: taken, columns: EVENT_COLUMNS, idOf: ({ id }) => id, none: 'events' });
  if (!more) return;
  const further = search.order === 'desc' ? '--before' : '--after';
  session.note(`There are more: add ${further} ${taken.at(-1)?.id}, --limit or --all.`);
}

type Delivery = ItemOf<'listDeliveries'>;

const DELIVERY_COLUMNS: readonly Column<Delivery>[] = [
  { title: 'SUBSCRIPTION', of: ({ subscription }) => subscription.id },
  { title: 'TITLE', of: ({ subscription }) => subscription.title, shrinks: true },
  { title: 'TYPE', of: (delivery) => typeOf(delivery) },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'ATTEMPTS', of: ({ attempts }) => attempts },
  { title: 'ANSWER', of: (delivery) => answerOf(delivery), shrinks: true },
  { title: 'CHANGED', of: ({ updatedAt }) => time(updatedAt) },
];

async function where(session: Session, eid: string): Promise<void> {
  const items = await all(session.customer().items('listDeliveries', { eid }));
  session.list({
    items,
    columns: DELIVERY_COLUMNS,
    idOf: ({ subscription }) => subscription.id,
    none: 'subscription has this event',
  });
  const isForPeople = !session.options.json && !session.options.quiet;
  if (items.length > 0 || !isForPeople) return;
  session.note(
    'It may have matched none (iw filters test), may still be in the queue, may have expired, or was never published here.',
  );
}

async function show(session: Session, given: string, eid: string, withClaims = false): Promise<void> {
  const client = session.customer();
  const sid = await findSubscription(client, given);
  const event = await client.call('getEvent', { sid, eid });
  const { history } = (await client.call('getEventHistory', { sid, eid }))._embedded;
  if (session.options.json) return session.json({ ...event, history });
  session.show(event, event.id, [
    ['Id', event.id],
    ['Type', typeOf(event)],
    ['Accepted', time(event.createdAt)],
    ['State', `${event.state} since ${time(event.updatedAt)}`],
    ['Attempts', event.attempts],
    ['Answer', answerOf(event)],
    ['Next attempt', time(event.nextAttemptAt)],
    ['Endpoint', event.request.endpoint],
    ['Claims', withClaims ? JSON.stringify(claimsOf(event)) : ''],
  ]);
  if (session.options.quiet) return;
  session.print('');
  session.table(history, HISTORY_COLUMNS);
}

const HISTORY_COLUMNS: readonly Column<ResultOf<'getEventHistory'>['_embedded']['history'][number]>[] = [
  { title: 'TIME', of: ({ createdAt }) => createdAt },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'ATTEMPT', of: ({ attempts }) => attempts },
  { title: 'TOOK', of: ({ durationMs }) => (durationMs === undefined ? '' : `${durationMs} ms`) },
  { title: 'REASON', of: ({ reason }) => reason, shrinks: true },
  { title: 'NEXT ATTEMPT', of: ({ nextAttemptAt }) => time(nextAttemptAt) },
];

async function publish(session: Session, file: string): Promise<void> {
  const json = await readJson(session, file, 'event');
  const events = Array.isArray(json) ? json : [json];
  if (events.length === 0 || events.length > PUBLISH_MAX_EVENTS) {
    throw usage(`One call publishes 1 to ${PUBLISH_MAX_EVENTS} events; these are ${events.length}.`);
  }
  const ids = await session.customer().publish(events as PublishBody);
  if (session.options.json) return session.json(ids.map((id) => ({ id })));
  if (session.options.quiet) return ids.forEach((id) => void session.print(id));
  session.done(
    `${count(ids.length, 'event')} queued: ${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ', …' : ''}`,
    ids,
  );
}
