/** `iw shards`: for the operator, the event stores of a hot subscription (contract 10.17). */
import type { ResultOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import { usage } from '../failure.ts';
import type { Session } from '../session.ts';
import { time } from '../text.ts';

const SHARDS_MAX = 16;

export function addShards(program: Command, begin: Begin): void {
  const shards = program
    .command('shards')
    .summary('give a hot subscription several event stores')
    .description(
      'Event stores of a subscription. Each has room for 10 GB and takes a few hundred calls a second; one is enough for nearly every subscription. These commands need the operator token: iw login --operator',
    );
  examples(
    shards
      .command('show')
      .description('Shows how many event stores a subscription has, and since when.')
      .argument('<subscription>', 'the id')
      .action(async (sid: string) => {
        const session = begin();
        const cid = session.customerId();
        show(session, await session.operator().call('getShards', { cid, sid }));
      }),
    'iw shards show 2d3e4f5a-6b7c-4d8e-9f0a-1b2c3d4e5f6a --customer CUSTOMER',
  );
  examples(
    shards
      .command('set')
      .description(
        'Keeps the events that are published from 15 minutes from now on in so many event stores. What is stored stays where it is.',
      )
      .argument('<subscription>', 'the id')
      .argument('<number>', `how many, 1 to ${SHARDS_MAX}`)
      .action(async (sid: string, number: string) => {
        const count = Number(number);
        if (!Number.isInteger(count) || count < 1 || count > SHARDS_MAX)
          throw usage(`${number} is no number from 1 to ${SHARDS_MAX}.`, 'How many event stores?');
        const session = begin();
        const cid = session.customerId();
        show(session, await session.operator().call('updateShards', { cid, sid, body: { shards: count } }));
      }),
    'iw shards set 2d3e4f5a-6b7c-4d8e-9f0a-1b2c3d4e5f6a 4 --customer CUSTOMER',
  );
}

function show(session: Session, shards: ResultOf<'getShards'>): void {
  const epochs = shards.epochs.map((epoch): [string, string] => [
    `Events since ${time(epoch.since)}`,
    epoch.shards === 1 ? '1 event store' : `${epoch.shards} event stores`,
  ]);
  session.show(shards, shards.id, [
    ['Subscription', shards.id],
    ['Event stores of new events', String(shards.shards)],
    ['Event stores that may have events', String(shards.stores)],
    ...epochs,
  ]);
}
