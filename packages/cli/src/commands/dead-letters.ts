/** `iw dead-letters`: messages that the service could not process, for the operator (contract 10.2). */
import type { ItemOf, OperatorClient } from '@identity-webhooks/client';
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
        await replay(session, operator, isAll ? await idsOfAll(session, operator) : ids);
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
        for (const id of ids) await operator.call('dropDeadLetter', { id });
        session.done(
          `${count(ids.length, 'dead letter')} dropped.`,
          ids.map((id) => ({ id, dropped: true })),
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

/** A letter that is gone was replayed or dropped by somebody else, so a repeat of this command goes on with the rest. */
async function replay(session: Session, operator: OperatorClient, ids: readonly string[]): Promise<void> {
  const replayed: string[] = [];
  const gone: string[] = [];
  for (const [index, id] of ids.entries()) {
    session.progress(`Replayed ${index} of ${ids.length} …`);
    const isHere = await operator.call('replayDeadLetter', { id }).then(
      () => true,
      (error: unknown) => {
        if (isNotFound(error)) return false;
        if (replayed.length > 0) session.note(`${replayed.length} of ${ids.length} are replayed already.`);
        throw error;
      },
    );
    (isHere ? replayed : gone).push(id);
  }
  session.done(`${count(replayed.length, 'dead letter')} replayed.`, { replayed, gone });
  if (gone.length > 0)
    throw new Failure(
      'notFound',
      `${count(gone.length, 'letter')} not found: ${gone.slice(0, 3).join(', ')}`,
      'They were replayed or dropped before.',
    );
}

function isNotFound(error: unknown): boolean {
  return (error as { trouble?: { kind?: string } }).trouble?.kind === 'not-found';
}
