/** `iw login`, `iw logout`, `iw status`: which deployment, and with which credentials. */
import type { Command } from 'commander';
import { type Begin, examples } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import { type Profile, profilesFile, readProfiles, writeProfiles } from '../profiles.ts';
import { ask, isInteractive, readSecret } from '../prompt.ts';
import { replaceClient, replaceService } from '../replacing.ts';
import type { Session } from '../session.ts';
import { checkCustomer, checkUrl, profileNameOf, type Settings } from '../settings.ts';

interface LoginOptions {
  readonly operator?: boolean;
  readonly clientId?: string;
  readonly scope?: string;
  readonly secretStdin?: boolean;
  readonly saveSecret: boolean;
}

export function addLogin(program: Command, begin: Begin): void {
  examples(
    program
      .command('login')
      .summary('check credentials and keep them in a profile')
      .description(
        'Checks credentials against the service and keeps them in a profile. The secret is asked for without echo, or read from ' +
          'standard input (--secret-stdin) or from IW_CLIENT_SECRET or IW_OPERATOR_TOKEN. It is never an argument. The file of ' +
          'profiles is $XDG_CONFIG_HOME/identity-webhooks/config.json, which only you may read. The first profile becomes the current one. A profile can have a client of a customer, the operator token, or both, of one URL.',
      )
      .argument('[url]', 'the BASE_URL of the service; default: that of the profile')
      .option('--operator', 'log in as the operator, with the OPERATOR_TOKEN of the service')
      .option('--client-id <id>', 'the client of the customer; the customer is given by --customer')
      .option('--scope <scope>', 'ask for this scope alone, for a client that may not do everything')
      .option('--secret-stdin', 'read the secret from standard input')
      .option(
        '--no-save-secret',
        'keep the profile without its secret: commands then need the environment variable',
      )
      .action(async (url: string | undefined, options: LoginOptions) => await login(begin(), url, options)),
    'iw login https://webhooks.example.com --customer CUSTOMER --client-id CLIENT',
    'iw login https://webhooks.example.com --operator --profile production',
    'pass show webhooks | iw login https://webhooks.example.com --operator --secret-stdin',
  );
  examples(
    program
      .command('logout')
      .summary('forget a profile')
      .description('Deletes the profile and its secrets from the file. The service keeps its clients.')
      .action(() => logout(begin())),
    'iw logout --profile staging',
  );
  examples(
    program
      .command('status')
      .summary('show the profile, and whether its credentials work')
      .description(
        'Shows which service, customer and client the next command uses, and asks the service whether the credentials work.',
      )
      .action(async () => await status(begin())),
    'iw status',
    'iw status --profile production --json',
  );
}

async function login(session: Session, url: string | undefined, options: LoginOptions): Promise<void> {
  const { world } = session;
  const { env } = world;
  const name = profileNameOf(world, session.options);
  const { current, all } = readProfiles(env);
  const known = all.get(name);
  const given = url ?? session.options.url ?? (env['IW_URL'] || known?.url);
  if (given === undefined && !isInteractive(world)) throw usage('Which service?', 'iw login URL');
  const address = checkUrl(given ?? (await ask(world, 'URL of the service: ')));
  if (known !== undefined && address !== known.url) await replaceService(session, name, known, address);
  // Nothing of another deployment stays in the profile.
  const before: Profile | undefined = address === known?.url ? known : undefined;
  const { profile, credentials } = options.operator
    ? await operatorLogin(session, address, options)
    : await customerLogin(session, address, options, name, before);
  // The other role stays; of the role that logged in, nothing earlier does.
  const { operatorToken, ...customer } = before ?? { url: address };
  const kept = options.operator ? customer : { operatorToken };
  const next = new Map(all).set(name, { ...kept, ...profile, ...(options.saveSecret ? credentials : {}) });
  writeProfiles(env, { current: current ?? name, all: next });
  const whom = options.operator
    ? 'the operator'
    : `client ${profile.clientId} of customer ${profile.customer}`;
  session.done(`Logged in to ${address} as ${whom}. Profile ${name} is in ${profilesFile(env)}.`, {
    profile: name,
    ...profile,
  });
  if (current !== undefined && current !== name) {
    session.note(
      `The current profile is still ${current}. Use this one with --profile ${name}, or: iw profiles use ${name}`,
    );
  }
}

interface Login {
  readonly profile: Profile;
  readonly credentials: Partial<Profile>;
}

async function operatorLogin(
  session: Session,
  url: string,
  { secretStdin = false }: LoginOptions,
): Promise<Login> {
  const operatorToken = await readSecret(session.world, {
    what: 'Operator token',
    variable: 'IW_OPERATOR_TOKEN',
    fromStdin: secretStdin,
  });
  await session.operatorOf({ ...NOBODY, url, operatorToken }).call('listCustomers', { query: {} });
  return { profile: { url }, credentials: { operatorToken } };
}

async function customerLogin(
  session: Session,
  url: string,
  { clientId: given, scope: wanted, secretStdin = false }: LoginOptions,
  name: string,
  before: Profile | undefined,
): Promise<Login> {
  const { world, options } = session;
  const { env } = world;
  const missing = async (what: string, flag: string) => {
    if (isInteractive(world)) return await ask(world, `${what}: `);
    throw usage(`The ${what.toLowerCase()} is missing.`, `Add ${flag}`);
  };
  const customer = checkCustomer(
    options.customer ??
      (env['IW_CUSTOMER'] || before?.customer) ??
      (await missing('Customer id', '--customer CUSTOMER')),
  );
  const clientId =
    given ?? (env['IW_CLIENT_ID'] || before?.clientId) ?? (await missing('Client id', '--client-id CLIENT'));
  if (before !== undefined) await replaceClient(session, name, before, { customer, clientId });
  const scope = wanted ?? (env['IW_SCOPE'] || undefined);
  const clientSecret = await readSecret(world, {
    what: 'Client secret',
    variable: 'IW_CLIENT_SECRET',
    fromStdin: secretStdin,
  });
  await session.customerOf({ ...NOBODY, url, customer, clientId, clientSecret, scope }).checkCredentials();
  return {
    profile: { url, customer, clientId, ...(scope === undefined ? {} : { scope }) },
    credentials: { clientSecret },
  };
}

const NOBODY: Settings = {
  profile: '',
  url: undefined,
  customer: undefined,
  clientId: undefined,
  clientSecret: undefined,
  scope: undefined,
  operatorToken: undefined,
};

function logout(session: Session): void {
  const { env } = session.world;
  const name = profileNameOf(session.world, session.options);
  const { current, all } = readProfiles(env);
  if (!all.has(name))
    throw new Failure('notFound', `There is no profile ${name}.`, 'See all: iw profiles list');
  const rest = new Map(all);
  rest.delete(name);
  writeProfiles(env, { current: current === name ? undefined : current, all: rest });
  session.done(`The profile ${name} is deleted.`, { profile: name, deleted: true });
}

async function status(session: Session): Promise<void> {
  const { settings } = session;
  const { profile, url, customer, clientId, clientSecret, operatorToken, scope } = settings;
  const isClient = customer !== undefined && clientId !== undefined && clientSecret !== undefined;
  if (url === undefined || (!isClient && operatorToken === undefined)) session.customerOf(settings);
  if (isClient) await session.customerOf(settings).checkCredentials();
  if (operatorToken !== undefined) await session.operatorOf(settings).call('listCustomers', { query: {} });
  const works = (present: boolean) => (present ? 'works' : 'not logged in');
  session.show(
    {
      profile,
      url,
      customer,
      clientId,
      scope,
      client: works(isClient),
      operator: works(operatorToken !== undefined),
    },
    profile,
    [
      ['Profile', profile],
      ['URL', url],
      ['Customer', customer],
      ['Client', clientId],
      ['Scope', scope],
      ['As the customer', works(isClient)],
      ['As the operator', works(operatorToken !== undefined)],
    ],
  );
}
