/** `iw audit`: who did what, for the operator (contract 10.7). */
import type { ArgumentsOf, ItemOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples, parseTime, take, wholeNumber } from '../command.ts';
import type { Column } from '../table.ts';
import { time } from '../text.ts';

type Entry = ItemOf<'listAuditEntries'>;
type Query = NonNullable<ArgumentsOf<'listAuditEntries'>['query']>;

const COLUMNS: readonly Column<Entry>[] = [
  { title: 'TIME', of: ({ createdAt }) => time(createdAt) },
  { title: 'EVENT', of: ({ event }) => event },
  { title: 'BY', of: ({ actor, clientId }) => clientId ?? actor, shrinks: true },
  { title: 'OUTCOME', of: ({ outcome }) => outcome },
  { title: 'CUSTOMER', of: ({ customerId }) => customerId },
  { title: 'TARGET', of: ({ target }) => target, shrinks: true },
  { title: 'ADDRESS', of: ({ address }) => address },
  { title: 'COUNT', of: ({ count }) => count },
  { title: 'CALLER REQUEST', of: ({ callerRequestId }) => callerRequestId, shrinks: true },
];
/** The largest page. */
const PAGE = 1000;

interface Options {
  readonly event?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: number;
  readonly all?: boolean;
}

export function addAudit(program: Command, begin: Begin): void {
  examples(
    program
      .command('audit')
      .summary('show who did what')
      .description(
        'Shows the audit trail, the newest entry first: acts of the operator, access tokens given and refused, erasures. With --customer only entries of this customer.',
      )
      .option('--event <event>', 'only entries of this event, such as token-refused')
      .option(
        '--since <time>',
        'only entries of this time or later, or since so long ago (2d)',
        parseTime(Date.now),
      )
      .option('--until <time>', 'only entries before this time', parseTime(Date.now))
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1_000_000), 100)
      .option('--all', 'all of them, however many')
      .action(async ({ event, since, until, limit, all }: Options) => {
        const session = begin();
        const most = all ? undefined : limit;
        // The customer of the profile does not count: an operator wants to see everything, unless a flag says otherwise.
        const { customer } = session.options;
        const query = {
          limit: Math.min(most ?? PAGE, PAGE),
          ...(customer === undefined ? {} : { customerId: customer }),
          ...(event === undefined ? {} : { event }),
          ...(since === undefined ? {} : { since }),
          ...(until === undefined ? {} : { until }),
        } as Query;
        const { taken, more } = await take(session.operator().items('listAuditEntries', { query }), most);
        session.list({ items: taken, columns: COLUMNS, idOf: ({ id }) => id, none: 'entries' });
        if (more) session.note('There are more: add --limit, --until or --all.');
      }),
    'iw audit --since 2d',
    'iw audit --customer CUSTOMER --event token-refused',
  );
}
