/** `iw redeliver` and `iw redeliveries`: failed events once more (contract 5.4 and 10.3). */
import { type ItemOf, type WebhooksClient, WebhooksError } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { all, type Begin, examples, findSubscription, parseTime } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { count, time } from '../text.ts';

type Redelivery = ItemOf<'listRedeliveries'>;

const ARGUMENT = 'the id or the exact title of a subscription';
const POLL_MS = 1000;

const COLUMNS: readonly Column<Redelivery>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'STARTED', of: ({ createdAt }) => time(createdAt) },
  { title: 'TOTAL', of: ({ total }) => total },
  { title: 'REDELIVERED', of: ({ redelivered }) => redelivered },
  { title: 'SUCCEEDED', of: ({ succeeded }) => succeeded },
  { title: 'FAILED', of: ({ failed }) => failed },
];

interface RedeliverOptions {
  readonly all?: boolean;
  readonly since?: string;
  readonly until?: string;
  readonly dryRun?: boolean;
  readonly wait: boolean;
}

type Span = Pick<RedeliverOptions, 'since' | 'until'>;

export function addRedeliveries(program: Command, begin: Begin): void {
  examples(
    program
      .command('redeliver')
      .summary('send failed events again, one or many')
      .description(
        'Sends a failed event again, or with --all, --since or --until every failed event of the span, at the pace that the listener keeps ' +
          'up with. The tokens are the same, byte for byte. With --dry-run nothing is sent: it says how many events there are, and the ' +
          'oldest and the newest of them. Ctrl-C stops watching; the redelivery goes on.',
      )
      .argument('<subscription>', ARGUMENT)
      .argument('[event]', 'the id of one event')
      .option('--all', 'every failed event')
      .option(
        '--since <time>',
        'failed events that were accepted since this time, or so long ago (6h)',
        parseTime(Date.now),
      )
      .option('--until <time>', 'failed events that were accepted until this time', parseTime(Date.now))
      .option('--dry-run', 'say what would be sent, and send nothing; with --quiet the number alone')
      .option('--no-wait', 'start it and do not wait for its end')
      .action(
        async (given: string, eid: string | undefined, options: RedeliverOptions) =>
          await redeliver(begin(), given, eid, options),
      ),
    'iw redeliver "Profile sync" 01890a5d-ac96-774b-bcce-b302099a8057',
    'iw redeliver "Profile sync" --since 6h --dry-run',
    'iw redeliver "Profile sync" --since 6h',
    'iw redeliver "Profile sync" --all --no-wait',
  );
  const redeliveries = program
    .command('redeliveries')
    .summary('list, show and cancel bulk redeliveries')
    .description(
      'Bulk redeliveries: jobs that send many failed events again. They are shown for seven days after their end.',
    );
  examples(
    redeliveries
      .command('list')
      .description('Lists the bulk redeliveries of a subscription, oldest first.')
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const items = await all(client.items('listRedeliveries', { sid }));
        session.list({ items, columns: COLUMNS, idOf: ({ id }) => id, none: 'redeliveries' });
      }),
    'iw redeliveries list "Profile sync"',
  );
  examples(
    redeliveries
      .command('show')
      .description('Shows a bulk redelivery.')
      .argument('<subscription>', ARGUMENT)
      .argument('<redelivery>', 'the id of the redelivery')
      .action(async (given: string, redeliveryId: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        show(session, await client.call('getRedelivery', { sid, redeliveryId }));
      }),
    'iw redeliveries show "Profile sync" REDELIVERY',
  );
  examples(
    redeliveries
      .command('cancel')
      .description('Cancels a bulk redelivery. Events that it has already asked for go on.')
      .argument('<subscription>', ARGUMENT)
      .argument('<redelivery>', 'the id of the redelivery')
      .action(async (given: string, redeliveryId: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        await client.call('cancelRedelivery', { sid, redeliveryId });
        session.done(`The redelivery ${redeliveryId} is canceled.`, { id: redeliveryId, canceled: true });
      }),
    'iw redeliveries cancel "Profile sync" REDELIVERY',
  );
}

async function redeliver(
  session: Session,
  given: string,
  eid: string | undefined,
  { all, since, until, dryRun = false, wait }: RedeliverOptions,
): Promise<void> {
  const isBulk = all || since !== undefined || until !== undefined;
  if (isBulk === (eid !== undefined))
    throw usage('Redeliver one event, or many with --all, --since or --until.', 'iw redeliver --help');
  if (eid !== undefined && dryRun) throw usage('A dry run is of many events: --all, --since or --until.');
  const client = session.customer();
  const sid = await findSubscription(client, given);
  if (eid !== undefined) {
    const event = await client.call('redeliverEvent', { sid, eid });
    return session.done(`The event ${eid} is sent again. See it: iw events show ${sid} ${eid}`, event);
  }
  const span = { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) };
  if (dryRun) return await preview(session, client, sid, span);
  const started = await client.call('startRedelivery', { sid, body: span });
  const ended = wait ? await watch(session, client, sid, started) : started;
  show(session, ended);
  if (wait && ended.state === 'canceled') throw new Failure('failed', 'The redelivery was canceled.');
  if (wait && ended.failed > 0) {
    throw new Failure(
      'failed',
      `${count(ended.failed, 'event')} failed again.`,
      `See why: iw events list ${sid} --state failure`,
    );
  }
}

async function preview(session: Session, client: WebhooksClient, sid: string, span: Span): Promise<void> {
  const found = await client.previewRedelivery(sid, span).catch((error: unknown) => {
    if (!(error instanceof WebhooksError) || error.status !== 202) throw error;
    throw new Failure(
      'failed',
      'This service is too old to know dry runs: it has started the redelivery.',
      `Cancel it: iw redeliveries list ${sid}, then iw redeliveries cancel ${sid} REDELIVERY`,
      { cause: error },
    );
  });
  const { total, exact, oldest, newest, leftOut } = found;
  const event = (one: typeof oldest) =>
    one === undefined ? '' : `${one.id}, accepted ${time(one.createdAt)}`;
  session.show(found, String(total), [
    ['Would send', `${exact ? '' : 'at least '}${count(total, 'event')}`],
    ['Oldest', event(oldest)],
    ['Newest', event(newest)],
    ['Left out, token not kept', leftOut.notKept || undefined],
    ['Left out, endpoint not verified', leftOut.notVerified || undefined],
  ]);
  if (!session.options.quiet) session.note('Nothing was sent.');
}

async function watch(
  session: Session,
  client: WebhooksClient,
  sid: string,
  started: Redelivery,
): Promise<Redelivery> {
  let job = started;
  try {
    while (job.state === 'processing') {
      session.progress(
        `Redelivered ${job.redelivered} of ${job.total}: ${job.succeeded} succeeded, ${job.failed} failed …`,
      );
      await session.wait(POLL_MS);
      job = await client.call('getRedelivery', { sid, redeliveryId: job.id });
    }
    return job;
  } catch (error) {
    session.note(`The redelivery goes on. Cancel it: iw redeliveries cancel ${sid} ${job.id}`);
    throw error;
  }
}

function show(session: Session, job: Redelivery): void {
  session.show(job, job.id, [
    ['Id', job.id],
    ['State', job.state],
    ['Started', time(job.createdAt)],
    ['Changed', time(job.updatedAt)],
    ['Total', job.total],
    ['Redelivered', job.redelivered],
    ['Succeeded', job.succeeded],
    ['Failed', job.failed],
  ]);
}
