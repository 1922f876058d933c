/** `iw clients`: for the operator. A secret is shown once, by the call that makes it (contract 10.2). */
import type { ItemOf, ResultOf } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { all, type Begin, examples, wholeNumber } from '../command.ts';
import { usage } from '../failure.ts';
import { readProfiles, writeProfiles } from '../profiles.ts';
import { readSecret } from '../prompt.ts';
import { replaceClient } from '../replacing.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { time } from '../text.ts';

type Client = ItemOf<'listClients'>;
type NewClient = ResultOf<'createClient'>;

const COLUMNS: readonly Column<Client>[] = [
  { title: 'CLIENT ID', of: ({ clientId }) => clientId },
  { title: 'NAME', of: ({ name }) => name, shrinks: true },
  { title: 'SCOPE', of: ({ scope }) => scope, shrinks: true },
  { title: 'CREATED', of: ({ createdAt }) => time(createdAt) },
];

const WEEK_SECONDS = 604_800;
const ONCE = 'The secret is shown this once: keep it now. Nobody can read it later.';

interface CreateOptions {
  readonly scope?: string;
  readonly clientId?: string;
  readonly secretStdin?: boolean;
  readonly login?: boolean;
}

export function addClients(program: Command, begin: Begin): void {
  const clients = program
    .command('clients')
    .summary('create clients, replace their secrets')
    .description(
      'Clients of a customer: the credentials with which its programs call the API. These commands need the operator token. The customer is that of --customer or of the profile.',
    );
  examples(
    clients
      .command('list')
      .description('Lists the clients of the customer, without secrets.')
      .action(async () => {
        const session = begin();
        const cid = session.customerId();
        const items = await all(session.operator().items('listClients', { cid }));
        session.list({ items, columns: COLUMNS, idOf: ({ clientId }) => clientId, none: 'clients' });
      }),
    'iw clients list --customer CUSTOMER',
  );
  examples(
    clients
      .command('create')
      .description('Creates a client and shows its secret, this once.')
      .argument('<name>', 'the name, 1 to 200 characters')
      .option('--scope <scope>', 'what it may do; everything without it')
      .option('--client-id <id>', 'its id, for a client that moves here and keeps it')
      .option('--secret-stdin', 'read the secret of a client that moves here from standard input')
      .option('--login', 'keep id and secret in the profile, and show neither')
      .action(async (name: string, options: CreateOptions) => await create(begin(), name, options)),
    'iw clients create backend --customer CUSTOMER',
    "iw clients create producer --scope 'POST:webhooks/events'",
    'iw clients create backend --login',
  );
  examples(
    clients
      .command('rotate-secret')
      .description(
        'Gives a client a new secret and shows it, this once. The old secrets end at once, or after --keep-old.',
      )
      .argument('<client>', 'the client id')
      .option(
        '--keep-old <seconds>',
        'how long the old secrets still work, up to a week',
        wholeNumber(0, WEEK_SECONDS),
        0,
      )
      .action(async (clientId: string, { keepOld }: { keepOld: number }) => {
        const session = begin();
        const cid = session.customerId();
        const operator = session.operator();
        if (keepOld === 0)
          await session.confirm(
            `Replace the secret of ${clientId}? Its programs are refused until they have the new one.`,
          );
        const client = await operator.call('rotateClientSecret', {
          cid,
          clientId,
          body: { keepOldSeconds: keepOld },
        });
        showOnce(session, client);
      }),
    'iw clients rotate-secret CLIENT --keep-old 86400',
  );
  examples(
    clients
      .command('delete')
      .description('Deletes a client. Its secrets and its access tokens end within a minute.')
      .argument('<client>', 'the client id')
      .action(async (clientId: string) => {
        const session = begin();
        const cid = session.customerId();
        const operator = session.operator();
        await session.confirm(`Delete the client ${clientId}? Its programs are refused from then on.`);
        await operator.call('deleteClient', { cid, clientId });
        session.done(`The client ${clientId} is deleted.`, { clientId, deleted: true });
      }),
    'iw clients delete CLIENT',
  );
}

async function create(session: Session, name: string, options: CreateOptions): Promise<void> {
  const { scope, clientId, secretStdin = false, login = false } = options;
  const cid = session.customerId();
  const operator = session.operator();
  const { profile } = session.settings;
  const { env } = session.world;
  if (login) {
    const before = readProfiles(env).all.get(profile);
    if (before === undefined)
      throw usage('There is no profile to keep the client in.', 'Log in first: iw login URL --operator');
    await replaceClient(session, profile, before, {
      customer: cid,
      ...(clientId === undefined ? {} : { clientId }),
    });
  }
  const clientSecret = secretStdin
    ? await readSecret(session.world, { what: 'Client secret', variable: '', fromStdin: true })
    : undefined;
  const body = {
    name,
    ...(scope === undefined ? {} : { scope }),
    ...(clientId === undefined ? {} : { clientId }),
    ...(clientSecret === undefined ? {} : { clientSecret }),
  };
  const client = await operator.call('createClient', { cid, body });
  if (login) return keep(session, profile, cid, client);
  // The person who brought the secret has it.
  if (clientSecret !== undefined) {
    const { clientSecret: _, ...shown } = client;
    return session.show(shown, client.clientId, fieldsOf(client));
  }
  showOnce(session, client);
}

function keep(session: Session, name: string, customer: string, client: NewClient): void {
  const { env } = session.world;
  const { current, all } = readProfiles(env);
  const { clientId, clientSecret, scope } = client;
  const profile = all.get(name);
  if (profile === undefined) throw usage(`There is no profile ${name}.`);
  const kept = { ...profile, customer, clientId, clientSecret, scope };
  writeProfiles(env, { current, all: new Map(all).set(name, kept) });
  const { clientSecret: _, ...shown } = client;
  session.done(`The client ${clientId} is in the profile ${name}.`, shown);
}

function showOnce(session: Session, client: NewClient): void {
  if (session.options.json) session.json(client);
  // `--quiet` hides nothing here: the secret would be lost.
  else session.fields([...fieldsOf(client), ['Secret', client.clientSecret]]);
  session.note(ONCE);
}

function fieldsOf({ clientId, name, scope, createdAt }: Client): [string, string][] {
  return [
    ['Client id', clientId],
    ['Name', name],
    ['Scope', scope],
    ['Created', time(createdAt)],
  ];
}
