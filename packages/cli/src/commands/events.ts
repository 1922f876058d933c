/** `iw events`: what is stored for a subscription (contract 5), and publishing (contract 10.1). */
import type { ResultOf } from '@identity-webhooks/client';
import { type Command, Option } from 'commander';
import {
  type Begin,
  eventIdAt,
  examples,
  findSubscription,
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
  readonly state?: State;
  readonly since?: string;
  readonly after?: string;
  readonly before?: string;
  readonly limit: number;
  readonly all?: boolean;
}

export function addEvents(program: Command, begin: Begin): void {
  const events = program
    .command('events')
    .summary('list, show, follow and publish events')
    .description('Events of a subscription with their attempts, for seven days; and publishing.');
  examples(
    events
      .command('list')
      .description('Lists the stored events of a subscription, oldest first.')
      .argument('<subscription>', ARGUMENT)
      .addOption(new Option('--state <state>', 'only events in this state').choices(STATES))
      .addOption(
        new Option(
          '--since <time>',
          'only events whose id is of this time or later, or since so long ago (1h)',
        )
          .argParser(parseTime(Date.now))
          .conflicts('after'),
      )
      .option('--after <event>', 'only events after this event id')
      .option('--before <event>', 'only events before this event id')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1_000_000), LIMIT)
      .option('--all', 'all of them, however many')
      .action(async (given: string, options: ListOptions) => await list(begin(), given, options)),
    'iw events list "Profile sync" --since 1h --state failure',
    'iw events list "Profile sync" --all --json > events.json',
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
  { state, since, after, before, limit, all }: ListOptions,
): Promise<void> {
  const client = session.customer();
  const sid = await findSubscription(client, given);
  const most = all ? undefined : limit;
  const query = {
    limit: Math.min(most ?? PAGE, PAGE),
    ...(state === undefined ? {} : { state }),
    ...(since === undefined ? {} : { after: eventIdAt(Date.parse(since)) }),
    ...(after === undefined ? {} : { after }),
    ...(before === undefined ? {} : { before }),
  };
  const { taken, more } = await take(client.items('listEvents', { sid, query }), most);
  session.list({ items: taken, columns: EVENT_COLUMNS, idOf: ({ id }) => id, none: 'events' });
  if (more) session.note(`There are more: add --after ${taken.at(-1)?.id}, --limit or --all.`);
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
