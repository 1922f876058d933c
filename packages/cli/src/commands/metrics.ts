/** `iw metrics`: the figures of the whole service for Prometheus (contract 10.2). */
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import { Failure, usage } from '../failure.ts';

export function addMetrics(program: Command, begin: Begin): void {
  examples(
    program
      .command('metrics')
      .summary('print the figures of the service for Prometheus')
      .description(
        'Prints the figures of the whole service in the text format of Prometheus, as the service gives them. It needs the operator token.',
      )
      .action(async () => {
        const session = begin();
        if (session.options.json) {
          throw usage('These figures are text for Prometheus.', 'As JSON: iw stats --operator --json');
        }
        const text = await session.operator().metrics();
        if (!text.startsWith('# ')) {
          throw new Failure(
            'unreachable',
            `Something else than the service answers at ${session.settings.url}.`,
            'Check the URL: it is the BASE_URL of the deployment, without a path of the API.',
          );
        }
        session.print(text.replace(/\n$/, ''));
      }),
    'iw metrics',
    "iw metrics | grep '^identity_webhooks_dead_letters'",
  );
}
