/** `iw endpoints`: the endpoints of all customers that are in trouble, for the operator (contract 10.2). */
import type { ItemOf } from '@identity-webhooks/client';
import { type Command, Option } from 'commander';
import { all, type Begin, examples } from '../command.ts';
import type { Column } from '../table.ts';
import { time } from '../text.ts';

type Endpoint = ItemOf<'listEndpoints'>;
type State = Endpoint['health']['state'];

const STATES = ['failing', 'slow', 'unverified'] as const satisfies readonly State[];

const COLUMNS: readonly Column<Endpoint>[] = [
  { title: 'CUSTOMER', of: ({ customerName }) => customerName, shrinks: true },
  { title: 'TITLE', of: ({ title }) => title, shrinks: true },
  { title: 'HOST', of: ({ host }) => host, shrinks: true },
  { title: 'STATE', of: ({ health }) => health.state },
  { title: 'SINCE', of: ({ health }) => time(health.since) },
  { title: 'CUSTOMER ID', of: ({ customerId }) => customerId },
];

export function addEndpoints(program: Command, begin: Begin): void {
  examples(
    program
      .command('endpoints')
      .summary('show endpoints in trouble, of all customers')
      .description(
        'Lists endpoints of enabled subscriptions that are in trouble, of all customers, the oldest trouble first. --quiet prints ids of subscriptions. It needs the operator token.',
      )
      .addOption(new Option('--state <state>', 'endpoints in this state').choices(STATES).default('failing'))
      .action(async ({ state }: { state: State }) => {
        const session = begin();
        const items = await all(session.operator().items('listEndpoints', { query: { state } }));
        session.list({
          items,
          columns: COLUMNS,
          idOf: ({ subscriptionId }) => subscriptionId,
          none: `${state} endpoints`,
        });
      }),
    'iw endpoints',
    'iw endpoints --state slow --json',
  );
}
