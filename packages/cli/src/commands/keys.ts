/** `iw keys`: the public keys of a customer (contract 6.3), and what the operator does with the private ones (10.2). */
import type { ResultOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import type { Session } from '../session.ts';
import { count } from '../text.ts';

const TIMEOUT_MS = 30_000;

type Keys = ResultOf<'rotateSigningKeys'>;

export function addKeys(program: Command, begin: Begin): void {
  const keys = program
    .command('keys')
    .summary('show public keys; rotate and reseal')
    .description(
      'Signing keys. The public ones need no credentials; rotate and reseal need the operator token.',
    );
  examples(
    keys
      .command('list')
      .description('Lists the public keys that verify the tokens of the customer. The first one signs now.')
      .action(async () => {
        const session = begin();
        showKeys(session, await publicKeys(session));
      }),
    'iw keys list',
    'iw keys list --json > jwks.json',
  );
  examples(
    keys
      .command('url')
      .description('Prints the URL of the public keys, for the configuration of a listener.')
      .action(() => {
        const session = begin();
        const url = keysUrl(session);
        if (session.options.json) session.json({ url });
        else session.print(url);
      }),
    'iw keys url',
  );
  examples(
    keys
      .command('rotate')
      .description(
        'Makes the next key of the customer sign, and a new one the next. Listeners that follow the key URL notice nothing.',
      )
      .action(async () => {
        const session = begin();
        const cid = session.customerId();
        const operator = session.operator();
        await session.confirm(`Rotate the signing keys of the customer ${cid}?`);
        showKeys(session, await operator.call('rotateSigningKeys', { cid }));
      }),
    'iw keys rotate --customer CUSTOMER',
  );
  examples(
    keys
      .command('reseal')
      .summary('after KEY_ENCRYPTION_KEY was replaced')
      .description(
        'Encrypts every private key again under the current KEY_ENCRYPTION_KEY, until none is left. Safe to repeat.',
      )
      .action(async () => await reseal(begin())),
    'iw keys reseal',
  );
}

function keysUrl(session: Session): string {
  const { url } = session.settings;
  if (url === undefined) throw usage('Which service?', 'Log in, or add --url URL');
  return `${url}/${session.customerId()}/login/jwk`;
}

async function publicKeys(session: Session): Promise<Keys> {
  const url = keysUrl(session);
  const answer = await session.world
    .fetch(
      new Request(url, { signal: AbortSignal.any([session.world.signal, AbortSignal.timeout(TIMEOUT_MS)]) }),
    )
    .catch((error: unknown) => {
      throw new Failure(
        'unreachable',
        `No answer from ${url}.`,
        'Is the URL right, and does the service run?',
        { cause: error },
      );
    });
  if (answer.status === 404)
    throw new Failure('notFound', `There is no customer ${session.customerId()} at ${session.settings.url}.`);
  const body: unknown = answer.ok ? await answer.json().catch(() => undefined) : undefined;
  if (typeof body !== 'object' || body === null || !('keys' in body)) {
    throw new Failure(
      'unreachable',
      `Something else than the service answers at ${url} (${answer.status}).`,
      'Check the URL: it is the BASE_URL of the deployment.',
    );
  }
  return body as Keys;
}

function showKeys(session: Session, keys: Keys): void {
  if (session.options.json) session.json(keys);
  else
    session.list({
      items: keys.keys.map((key, index) => ({ ...key, signs: index === 0 })),
      columns: [
        { title: 'KEY ID', of: ({ kid }) => kid },
        { title: 'ALGORITHM', of: ({ alg }) => alg },
        { title: '', of: ({ signs }) => (signs ? 'signs now' : '') },
      ],
      idOf: ({ kid }) => kid,
      none: 'keys',
    });
}

async function reseal(session: Session): Promise<void> {
  const operator = session.operator();
  let resealed = 0;
  for (;;) {
    const progress = await operator.call('resealSigningKeys');
    resealed += progress.resealed;
    // Keys that no key opens remain for ever.
    if (progress.remaining <= progress.unreadable || progress.resealed === 0) {
      session.done(`${count(resealed, 'key')} resealed, ${progress.remaining} of ${progress.total} remain.`, {
        ...progress,
        resealed,
      });
      if (progress.remaining === 0) return;
      throw new Failure(
        'failed',
        `${count(progress.unreadable, 'key')} cannot be opened.`,
        'The log of the service names them. Set KEY_ENCRYPTION_KEY_PREVIOUS to the key that sealed them.',
      );
    }
    session.progress(`${resealed} keys resealed, ${progress.remaining} remain …`);
  }
}
