/** `iw notices`: for the operator (contract 10.16). */
import type { ResultOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import type { Session } from '../session.ts';
import { time } from '../text.ts';

type Notices = ResultOf<'getNotices'>;

export function addNotices(program: Command, begin: Begin): void {
  const notices = program
    .command('notices')
    .summary('signed notices when endpoints fail')
    .description(
      'Signed notices about failing endpoints and failed events, for the operator. These commands need the operator token: iw login --operator',
    );
  examples(
    notices
      .command('set')
      .description('Sends notices to an endpoint, or changes where they go.')
      .argument('<endpoint>', 'an https URL, like that of a subscription')
      .option('--disabled', 'send none for now')
      .action(async (endpoint: string, { disabled = false }: { disabled?: boolean }) => {
        const session = begin();
        const body = { endpoint, enabled: !disabled };
        showNotices(session, await session.operator().call('setNotices', { body }));
      }),
    'iw notices set https://alarms.example.com/webhooks',
  );
  examples(
    notices
      .command('show')
      .description('Shows where notices go, and how that endpoint is doing.')
      .action(async () => {
        const session = begin();
        showNotices(session, await session.operator().call('getNotices', {}));
      }),
    'iw notices show',
  );
  examples(
    notices
      .command('erase')
      .description('Ends notices, and erases those that are stored.')
      .action(async () => {
        const session = begin();
        await session.confirm('End notices, and erase those that are stored?');
        await session.operator().call('eraseNotices', {});
        session.done('There are no notices any more.', { erased: true });
      }),
    'iw notices erase',
  );
}

function showNotices(session: Session, notices: Notices): void {
  session.show(notices, notices.subscriptionId, [
    ['Endpoint', notices.endpoint],
    ['Enabled', notices.enabled ? 'yes' : 'no'],
    ['Health', notices.health.state],
    ['Customer', notices.customerId],
    ['Subscription', notices.subscriptionId],
    ['Changed', time(notices.updatedAt)],
  ]);
}
