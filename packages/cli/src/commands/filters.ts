/** `iw filters`: whether a filter lets an event pass (contract 10.10). */
import type { ArgumentsOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples, readFilter, readJson } from '../command.ts';
import { usage } from '../failure.ts';

type Event = ArgumentsOf<'testFilter'>['body']['event'];

export function addFilters(program: Command, begin: Begin): void {
  const filters = program
    .command('filters')
    .summary('try a filter')
    .description('Filters: JSON Schemas that events of a subscription must satisfy.');
  examples(
    filters
      .command('test')
      .description(
        'Says whether a subscription with this filter would get this event. Nothing is stored or sent. A filter that the service refuses is refused here.',
      )
      .requiredOption('--filter <file>', 'a file with the filter; - is standard input')
      .requiredOption('--event <file>', 'a file with an event, as it is published; - is standard input')
      .action(async (options: { filter: string; event: string }) => {
        if (options.filter === '-' && options.event === '-')
          throw usage('Standard input can be the filter or the event, not both.');
        const session = begin();
        const filter = await readFilter(session, options.filter);
        const event = (await readJson(session, options.event, 'event')) as Event;
        const result = await session.customer().call('testFilter', { body: { filter, event } });
        const named = result.typeNamed ? '' : ' The filter says nothing about its type.';
        session.done(`The event ${result.matches ? 'passes' : 'does not pass'}.${named}`, result);
      }),
    'iw filters test --filter filter.json --event event.json',
  );
}
