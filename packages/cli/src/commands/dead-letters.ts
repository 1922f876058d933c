/** `iw dead-letters`: messages that the service could not process, for the operator (contract 10.2). */
import { type ItemOf, type OperatorClient, WebhooksError } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { all, type Begin, examples, take, wholeNumber } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { count, time } from '../text.ts';

type DeadLetter = ItemOf<'listDeadLetters'>;

const COLUMNS: readonly Column<DeadLetter>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'QUEUE', of: ({ queue }) => queue },
  { title: 'ACCEPTED', of: ({ acceptedAt }) => time(acceptedAt) },
  { title: 'REASON', of: ({ reason }) => reason, shrinks: true },
];

export function addDeadLetters(program: Command, begin: Begin): void {
  const letters = program
    .command('dead-letters')
    .summary('list, replay and drop dead letters')
    .description(
      'Dead letters: queue messages that the service could not process. Kept for 30 days. These commands need the operator token.',
    );
  examples(
    letters
      .command('list')
      .description('Lists the dead letters, oldest first, without their bodies.')
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1_000_000), 100)
      .option('--all', 'all of them, however many')
      .action(async ({ limit, all: isAll }: { limit: number; all?: boolean }) => {
        const session = begin();
        const { taken, more } = await take(
          session.operator().items('listDeadLetters', { query: {} }),
          isAll ? undefined : limit,
        );
        session.list({ items: taken, columns: COLUMNS, idOf: ({ id }) => id, none: 'dead letters' });
        if (more) session.note('There are more: add --limit or --all.');
      }),
    'iw dead-letters list',
  );
  examples(
    letters
      .command('show')
      .description(
        'Shows a dead letter with its body: the event of a customer. The call is in the audit trail.',
      )
      .argument('<id>', 'the id of the letter')
      .action(async (id: string) => {
        const session = begin();
        const letter = await session.operator().call('getDeadLetter', { id });
        session.show(letter, letter.id, [
          ['Id', letter.id],
          ['Queue', letter.queue],
          ['Reason', letter.reason],
          ['Accepted', time(letter.acceptedAt)],
          ['Dead since', time(letter.createdAt)],
          ['Body', JSON.stringify(letter.body)],
        ]);
      }),
    'iw dead-letters show ID',
  );
  examples(
    letters
      .command('replay')
      .description(
        'Queues the events of dead letters again, with the ids and times of acceptance that they had. Repair the reason first.',
      )
      .argument('[ids...]', 'the ids of letters')
      .option('--all', 'every letter that is in the list now')
      .action(async (ids: string[], { all: isAll }: { all?: boolean }) => {
        const session = begin();
        if (Boolean(isAll) === ids.length > 0) throw usage('Which letters?', 'Name their ids, or add --all.');
        const operator = session.operator();
        const chosen = isAll ? await idsOfAll(session, operator) : ids;
        await each(
          session,
          chosen,
          'replayed',
          async (id) => void (await operator.call('replayDeadLetter', { id })),
        );
      }),
    'iw dead-letters replay ID',
    'iw dead-letters replay --all --yes',
  );
  examples(
    letters
      .command('drop')
      .description('Deletes dead letters. Their events are lost.')
      .argument('<ids...>', 'the ids of letters')
      .action(async (ids: string[]) => {
        const session = begin();
        const operator = session.operator();
        await session.confirm(`Drop ${count(ids.length, 'dead letter')}? The events in them are lost.`);
        await each(
          session,
          ids,
          'dropped',
          async (id) => void (await operator.call('dropDeadLetter', { id })),
        );
      }),
    'iw dead-letters drop ID',
  );
}

async function idsOfAll(session: Session, operator: OperatorClient): Promise<string[]> {
  // The whole list first: a letter that is replayed leaves it, and moves its pages.
  const letters = await all(operator.items('listDeadLetters', { query: {} }));
  if (letters.length > 0) await session.confirm(`Replay ${count(letters.length, 'dead letter')}?`);
  return letters.map(({ id }) => id);
}

/** A letter that is gone was replayed or dropped before, so a repeat of the command goes on with the rest. */
async function each(
  session: Session,
  ids: readonly string[],
  done: 'replayed' | 'dropped',
  act: (id: string) => Promise<void>,
): Promise<void> {
  const acted: string[] = [];
  const gone: string[] = [];
  for (const id of ids) {
    session.progress(`${acted.length} of ${ids.length} ${done} …`);
    try {
      await act(id);
      acted.push(id);
    } catch (error) {
      if (!(error instanceof WebhooksError) || error.trouble.kind !== 'not-found') {
        if (acted.length > 0) session.note(`${acted.length} of ${ids.length} are ${done} already.`);
        throw error;
      }
      gone.push(id);
    }
  }
  session.done(`${count(acted.length, 'dead letter')} ${done}.`, { [done]: acted, gone });
  if (gone.length === 0) return;
  const message = `${count(gone.length, 'letter')} not found: ${gone.slice(0, 3).join(', ')}`;
  throw new Failure('notFound', message, 'They were replayed or dropped before.');
}
