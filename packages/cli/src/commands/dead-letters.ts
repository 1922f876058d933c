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

/** Which letters a command is about. */
interface Choice {
  readonly all?: boolean;
  readonly reason?: string;
}

const REASON = 'only letters whose reason contains this text';

export function addDeadLetters(program: Command, begin: Begin): void {
  const letters = program
    .command('dead-letters')
    .summary('count, list, replay and drop dead letters')
    .description(
      'Dead letters: queue messages that the service could not process. Kept for 30 days. These commands need the operator token.',
    );
  examples(
    letters
      .command('count')
      .description('Prints how many dead letters there are. A healthy service has none.')
      .action(async () => {
        const session = begin();
        const { total } = await session.operator().call('listDeadLetters', { query: {} });
        if (session.options.json) session.json({ total });
        else session.print(session.options.quiet ? String(total) : count(total, 'dead letter'));
      }),
    'iw dead-letters count --quiet',
  );
  examples(
    letters
      .command('list')
      .description('Lists the dead letters, oldest first, without their bodies.')
      .option('--reason <text>', REASON)
      .option('--limit <number>', 'at most so many', wholeNumber(1, 1_000_000), 100)
      .option('--all', 'all of them, however many')
      .action(async ({ reason, limit, all: isAll }: { reason?: string; limit: number; all?: boolean }) => {
        const session = begin();
        const { taken, more } = await take(lettersOf(session.operator(), reason), isAll ? undefined : limit);
        session.list({ items: taken, columns: COLUMNS, idOf: ({ id }) => id, none: 'dead letters' });
        if (more) session.note('There are more: add --limit or --all.');
      }),
    'iw dead-letters list',
    "iw dead-letters list --reason 'not delivered'",
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
      .option('--reason <text>', REASON)
      .action(async (ids: string[], options: Choice) => {
        const session = begin();
        const operator = session.operator();
        const chosen = await chosenIds(operator, ids, options);
        if (ids.length === 0 && chosen.length > 0)
          await session.confirm(`Replay ${count(chosen.length, 'dead letter')}?`);
        await each(
          session,
          chosen,
          'replayed',
          async (id) => void (await operator.call('replayDeadLetter', { id })),
        );
      }),
    'iw dead-letters replay ID',
    "iw dead-letters replay --reason 'not delivered'",
    'iw dead-letters replay --all --yes',
  );
  examples(
    letters
      .command('drop')
      .description('Deletes dead letters. Their events are lost.')
      .argument('[ids...]', 'the ids of letters')
      .option('--all', 'every letter that is in the list now')
      .option('--reason <text>', REASON)
      .action(async (ids: string[], options: Choice) => {
        const session = begin();
        const operator = session.operator();
        const chosen = await chosenIds(operator, ids, options);
        if (chosen.length > 0)
          await session.confirm(`Drop ${count(chosen.length, 'dead letter')}? The events in them are lost.`);
        await each(
          session,
          chosen,
          'dropped',
          async (id) => void (await operator.call('dropDeadLetter', { id })),
        );
      }),
    'iw dead-letters drop ID',
    "iw dead-letters drop --reason 'sub must be a UUID'",
  );
}

/** @param reason only letters whose reason contains this text */
async function* lettersOf(operator: OperatorClient, reason?: string): AsyncGenerator<DeadLetter> {
  for await (const letter of operator.items('listDeadLetters', { query: {} }))
    if (reason === undefined || letter.reason.includes(reason)) yield letter;
}

/** @throws Failure unless the letters are named in one way: by ids, by reason, or all of them */
async function chosenIds(
  operator: OperatorClient,
  ids: readonly string[],
  { all: isAll = false, reason }: Choice,
): Promise<readonly string[]> {
  const ways = [ids.length > 0, isAll, reason !== undefined].filter((isGiven) => isGiven);
  if (ways.length !== 1) throw usage('Which letters?', 'Name their ids, or add --reason or --all.');
  // The whole list first: a letter that leaves it moves its pages.
  return ids.length > 0 ? ids : (await all(lettersOf(operator, reason))).map(({ id }) => id);
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
