/** `iw subscriptions`: a customer's standing orders (contract 3). */
import type { ArgumentsOf, ResultOf, WebhooksClient } from '@identity-webhooks/client';
import type { Command } from 'commander';
import {
  all,
  type Begin,
  type EventType,
  examples,
  findSubscription,
  parseEventType,
  parseEventTypes,
  readFilter,
  type Subscription,
} from '../command.ts';
import { answerOf } from '../event-view.ts';
import { Failure, usage } from '../failure.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { count, time } from '../text.ts';

type Change = ArgumentsOf<'updateSubscription'>['body'];

const ARGUMENT = 'the id or the exact title of a subscription';
const EVENTS = 'created, updated, deleted, several with commas, or all';
const TEST_POLL_MS = 500;
/** A listener has 10 s to answer; its name is looked up before that. */
const TEST_WAIT_MS = 30_000;

const COLUMNS: readonly Column<Subscription>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'TITLE', of: ({ title }) => title, shrinks: true },
  { title: 'EVENTS', of: ({ events }) => shortTypes(events), shrinks: true },
  { title: 'ENABLED', of: ({ enabled }) => (enabled ? 'yes' : 'no') },
  { title: 'HEALTH', of: ({ health }) => health?.state },
  { title: 'ENDPOINT', of: ({ endpoint }) => endpoint, shrinks: true },
];

interface EditOptions {
  readonly title?: string;
  readonly endpoint?: string;
  readonly events?: EventType[];
  /** `false` for `--no-filter`. */
  readonly filter?: string | false;
}

export function addSubscriptions(program: Command, begin: Begin): void {
  const subscriptions = program
    .command('subscriptions')
    .summary('create, change, test and delete subscriptions')
    .description('Subscriptions of the customer: which events go to which endpoint.');
  addReading(subscriptions, begin);
  addChanging(subscriptions, begin);
  addSwitches(subscriptions, begin);
  examples(
    subscriptions
      .command('test')
      .description('Sends a test notification to the endpoint. It is stored and retried like any event.')
      .argument('<subscription>', ARGUMENT)
      .option(
        '--type <type>',
        'send an example of this event type: created, updated or deleted',
        parseEventType,
      )
      .option('--wait', 'wait for the answer of the endpoint; exit with 1 unless it is a success')
      .action(
        async (given: string, options: { type?: EventType; wait?: boolean }) =>
          await test(begin(), given, options),
      ),
    'iw subscriptions test "Profile sync" --wait',
    'iw subscriptions test "Profile sync" --type updated',
  );
}

function addReading(subscriptions: Command, begin: Begin): void {
  examples(
    subscriptions
      .command('list')
      .description('Lists all subscriptions, oldest first.')
      .action(async () => {
        const session = begin();
        const items = await all(session.customer().items('listSubscriptions'));
        session.list({ items, columns: COLUMNS, idOf: ({ id }) => id, none: 'subscriptions' });
      }),
    'iw subscriptions list',
    'iw subscriptions list --json',
  );
  examples(
    subscriptions
      .command('show')
      .description('Shows a subscription, the health of its endpoint, and the counts of the last seven days.')
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const [subscription, summary] = await Promise.all([
          client.call('getSubscription', { sid }),
          client.call('getSummary', { sid }),
        ]);
        show(session, subscription, summary);
      }),
    'iw subscriptions show "Profile sync"',
  );
}

function addChanging(subscriptions: Command, begin: Begin): void {
  examples(
    subscriptions
      .command('create')
      .description('Creates a subscription.')
      .argument('<title>', 'the title, 2 to 200 characters, unique')
      .argument('<endpoint>', 'the https URL of the listener')
      .requiredOption('--events <types>', EVENTS, parseEventTypes)
      .option('--filter <file>', 'a file with a JSON Schema that events must satisfy; - is standard input')
      .option('--disabled', 'create it disabled: its events are stored as failed until it is enabled')
      .action(
        async (
          title: string,
          endpoint: string,
          options: { events: EventType[]; filter?: string; disabled?: boolean },
        ) => {
          const session = begin();
          const filter =
            options.filter === undefined ? {} : { filter: await readFilter(session, options.filter) };
          const body = { title, endpoint, events: options.events, enabled: !options.disabled, ...filter };
          show(session, await session.customer().call('createSubscription', { body }));
        },
      ),
    'iw subscriptions create "Profile sync" https://listener.example.com/hooks --events created,updated',
    'iw subscriptions create Clean-up https://listener.example.com/hooks --events deleted --filter filter.json',
  );
  examples(
    subscriptions
      .command('edit')
      .description(
        'Changes what the options name, and nothing else. Events that are stored keep their endpoint.',
      )
      .argument('<subscription>', ARGUMENT)
      .option('--title <title>', 'another title')
      .option('--endpoint <url>', 'another endpoint')
      .option('--events <types>', EVENTS, parseEventTypes)
      .option('--filter <file>', 'another filter; - is standard input')
      .option('--no-filter', 'remove the filter')
      .action(async (given: string, options: EditOptions) => await edit(begin(), given, options)),
    'iw subscriptions edit "Profile sync" --endpoint https://new.example.com/hooks',
    'iw subscriptions edit "Profile sync" --events all --no-filter',
  );
  examples(
    subscriptions
      .command('delete')
      .description('Deletes a subscription and every stored event of it.')
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const { title, health } = await client.call('getSubscription', { sid });
        const waiting = health?.waiting ? `, ${count(health.waiting, 'event')} that wait included` : '';
        await session.confirm(
          `Delete the subscription ${title} (${sid}) and all its stored events${waiting}?`,
        );
        await client.call('deleteSubscription', { sid });
        session.done(`The subscription ${title} is deleted.`, { id: sid, deleted: true });
      }),
    'iw subscriptions delete "Profile sync"',
  );
}

function addSwitches(subscriptions: Command, begin: Begin): void {
  examples(
    subscriptions
      .command('enable')
      .description(
        'Enables a subscription. Events that failed meanwhile can be redelivered: iw redeliver SUBSCRIPTION --all',
      )
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        show(session, await client.call('updateSubscription', { sid, body: { enabled: true } }));
      }),
    'iw subscriptions enable "Profile sync"',
  );
  examples(
    subscriptions
      .command('disable')
      .description(
        'Disables a subscription: events that wait, and new ones, become failures without an attempt.',
      )
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const { title, enabled, health } = await client.call('getSubscription', { sid });
        if (enabled) {
          const waiting = health?.waiting ?? 0;
          await session.confirm(
            `Disable ${title}? ${count(waiting, 'event')} that wait and all new ones will fail without an attempt.`,
          );
        }
        show(session, await client.call('updateSubscription', { sid, body: { enabled: false } }));
      }),
    'iw subscriptions disable "Profile sync"',
  );
}

async function edit(
  session: Session,
  given: string,
  { title, endpoint, events, filter }: EditOptions,
): Promise<void> {
  const body: Change = {
    ...(title === undefined ? {} : { title }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(events === undefined ? {} : { events }),
    ...(filter === undefined ? {} : { filter: filter === false ? null : await readFilter(session, filter) }),
  };
  if (Object.keys(body).length === 0)
    throw usage('Nothing to change.', 'See the options: iw subscriptions edit --help');
  const client = session.customer();
  const sid = await findSubscription(client, given);
  show(session, await client.call('updateSubscription', { sid, body }));
}

async function test(
  session: Session,
  given: string,
  { type, wait }: { type?: EventType; wait?: boolean },
): Promise<void> {
  const client = session.customer();
  const sid = await findSubscription(client, given);
  const sent = await client.call('sendTest', { sid, ...(type === undefined ? {} : { body: { type } }) });
  if (!wait) {
    return session.done(`The test ${sent.id} is on its way. See it: iw events show ${sid} ${sent.id}`, sent);
  }
  const event = await answered(session, client, sid, sent.id);
  session.done(`The endpoint answered the test ${event.id}: ${answerOf(event)}.`, event);
  if (event.state !== 'success')
    throw new Failure(
      'failed',
      `The test did not succeed: ${answerOf(event)}.`,
      `Its history: iw events show ${sid} ${event.id}`,
    );
}

/** Waits for the first answer, or the reason why there was none. */
async function answered(
  session: Session,
  client: WebhooksClient,
  sid: string,
  eid: string,
): Promise<ResultOf<'getEvent'>> {
  for (const until = session.world.now() + TEST_WAIT_MS; ; ) {
    const event = await client.call('getEvent', { sid, eid });
    if (event.response !== undefined || event.error !== undefined || event.state === 'failure') return event;
    if (session.world.now() > until) {
      throw new Failure(
        'failed',
        'The endpoint has not answered the test yet.',
        `See later: iw events show ${sid} ${eid}`,
      );
    }
    session.progress('Waiting for the answer of the endpoint …');
    await session.wait(TEST_POLL_MS);
  }
}

function shortTypes(events: readonly string[]): string {
  return events.map((type) => type.replace(/^entity/, '').toLowerCase()).join(',');
}

function show(
  session: Session,
  subscription: Subscription | ResultOf<'getSubscription'>,
  summary?: ResultOf<'getSummary'>,
): void {
  const { id, title, endpoint, events, enabled, filter, health, createdAt, updatedAt } = subscription;
  const waiting = health?.waiting === undefined ? '' : `, ${count(health.waiting, 'event')} waiting`;
  session.show(summary === undefined ? subscription : { ...subscription, summary }, id, [
    ['Id', id],
    ['Title', title],
    ['Endpoint', endpoint],
    ['Events', events.join(', ') || 'none'],
    ['Filter', filter === undefined ? 'none' : JSON.stringify(filter)],
    ['Enabled', enabled ? 'yes' : 'no'],
    [
      'Health',
      health === undefined
        ? ''
        : `${health.state}${health.since === undefined ? '' : ` since ${time(health.since)}`}${waiting}`,
    ],
    ['Created', time(createdAt)],
    ['Changed', time(updatedAt)],
    [
      'Last 7 days',
      summary === undefined
        ? ''
        : `${summary.succeeded} succeeded, ${summary.retrying} retrying, ${summary.failed} failed (counted ${time(summary.updatedAt)})`,
    ],
  ]);
}
