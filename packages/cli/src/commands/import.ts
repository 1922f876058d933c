/** `iw import`: subscriptions and clients of an old Webhooks v3 service. */
import type { Command } from 'commander';
import { all, type Begin, examples, wholeNumber } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import { type ClientDone, importClients, readClients } from '../import/clients.ts';
import { readOldSubscriptions } from '../import/old-service.ts';
import { planOf, type Step, warningsOf } from '../import/plan.ts';
import { carryOut, type Done, judgeFilters } from '../import/subscriptions.ts';
import { isInteractive, readSecret } from '../prompt.ts';
import type { Session } from '../session.ts';
import { type Settings, settingsOf } from '../settings.ts';
import { count, safe } from '../text.ts';
import type { World } from '../world.ts';

/** The default of the service (contract 10.6). */
const MAX_SUBSCRIPTIONS = 1000;

interface Options {
  readonly from?: string;
  readonly fromUrl?: string;
  readonly fromCustomer?: string;
  readonly fromClientId?: string;
  readonly fromSecretStdin?: boolean;
  readonly dryRun?: boolean;
  readonly disabled?: boolean;
  readonly maxSubscriptions: number;
}

export function addImport(program: Command, begin: Begin): void {
  const imports = program
    .command('import')
    .summary('move here from an old Webhooks v3 service')
    .description(
      'Moves subscriptions and clients of an old Webhooks v3 service here. docs/migrating.md has the whole way.',
    );
  examples(
    imports
      .command('akamai')
      .summary('subscriptions of Akamai Identity Cloud')
      .description(
        'Reads the subscriptions of a customer of Akamai Identity Cloud, or of any Webhooks v3 service, and creates them here. A subscription ' +
          'is found again by its title and endpoint: run it twice, and nothing is made twice; after an error, run it again, and it goes on. ' +
          'Event types and filter follow the old service; "enabled" is copied only when a subscription is made. With --dry-run nothing is ' +
          'changed, and the service judges each filter. It exits with 1 when a subscription cannot be imported as it is.',
      )
      .option('--from <profile>', 'the profile of the old service: iw login OLD_URL --profile old')
      .option('--from-url <url>', 'or its URL (IW_FROM_URL)')
      .option('--from-customer <id>', 'the customer there; default: the same as here (IW_FROM_CUSTOMER)')
      .option(
        '--from-client-id <id>',
        'the client there (IW_FROM_CLIENT_ID); its secret is asked for, or is in IW_FROM_CLIENT_SECRET',
      )
      .option('--from-secret-stdin', 'read the secret of the client there from standard input')
      .option('--dry-run', 'show what would be made, changed and left alone, and every difference')
      .option('--disabled', 'make the subscriptions disabled: enable them when you switch over')
      .option(
        '--max-subscriptions <number>',
        'MAX_SUBSCRIPTIONS of the service',
        wholeNumber(1, 100_000),
        MAX_SUBSCRIPTIONS,
      )
      .action(async (options: Options) => await importSubscriptions(begin(), options)),
    'iw login https://v1.api.us.janrain.com --customer CUSTOMER --client-id CLIENT --profile old',
    'iw import akamai --from old --dry-run',
    'iw import akamai --from old --yes --json > report.json',
  );
  examples(
    imports
      .command('clients')
      .summary('clients with their ids and secrets')
      .description(
        'Creates clients with the ids and secrets that they have in the old service, so that programs keep their credentials. The file is a JSON ' +
          'array of {"clientId", "clientSecret", "name", "scope"}, which only you may read (chmod 600). A client that exists is left alone. This ' +
          'command needs the operator token; the customer is that of --customer or of the profile.',
      )
      .argument('<file>', 'the file; - is standard input')
      .option('--dry-run', 'show what would be made')
      .action(async (file: string, { dryRun = false }: { dryRun?: boolean }) => {
        const session = begin();
        const cid = session.customerId();
        const clients = await readClients(session, file);
        const { done, error } = await importClients(session, session.operator(), clients, { cid, dryRun });
        reportClients(session, done, dryRun);
        if (error !== undefined) throw error;
        failForRefused(done.filter(({ result }) => result === 'refused').length, done.length, 'client');
      }),
    'iw import clients clients.json --dry-run',
    'gpg --decrypt clients.json.gpg | iw import clients -',
  );
}

async function importSubscriptions(session: Session, options: Options): Promise<void> {
  const { dryRun = false, disabled = false, maxSubscriptions } = options;
  const to = session.settings;
  const from = await sourceOf(session, options, to);
  session.progress('Reading the old service …');
  const olds = await readOldSubscriptions(session.customerOf(from));
  const client = session.customer();
  const existing = await all(client.items('listSubscriptions'));
  const privateRefused = to.url?.startsWith('https:') === true;
  const plan = planOf(olds, existing, { privateRefused, maxSubscriptions });
  const steps = await judgeFilters(session, client, plan);
  const warnings = warningsOf(steps, existing);
  const head = { dryRun, from: placeOf(from), to: placeOf(to), warnings };
  const toDo = steps.filter(({ action }) => action === 'create' || action === 'change');
  if (dryRun || toDo.length === 0) {
    report(
      session,
      head,
      steps.map((step) => ({ step, result: RESULT_OF[step.action], id: step.id, notes: notesOf(step) })),
    );
    return failForRefused(
      steps.filter(({ action }) => action === 'refuse').length,
      steps.length,
      'subscription',
    );
  }
  await session.confirm(question(steps, to));
  const { done, error } = await carryOut(session, client, steps, disabled);
  report(session, head, done);
  if (error !== undefined) {
    session.note('Not finished. Run the same command again: it goes on where this one ended.');
    throw error;
  }
  failForRefused(done.filter(({ result }) => result === 'refused').length, done.length, 'subscription');
}

const RESULT_OF = { create: 'create', change: 'change', keep: 'kept', refuse: 'refused' } as const;

const notesOf = ({ changes, notes }: Step) => [
  ...(changes.length > 0 ? [`would change: ${changes.join(' and ')}`] : []),
  ...notes,
];

const placeOf = ({ url, customer }: Settings) => ({ url, customer });

function question(steps: readonly Step[], { url, customer }: Settings): string {
  const number = (action: Step['action']) => steps.filter((step) => step.action === action).length;
  const change = number('change');
  const made = `Create ${count(number('create'), 'subscription')}${change === 0 ? '' : `, and change ${change},`}`;
  const refusedOnes = number('refuse');
  return `${made} at ${url} (customer ${customer})${refusedOnes === 0 ? '' : `; ${refusedOnes} cannot be imported`}?`;
}

/** The old service, by its profile or by flags; what is set for this service is not for that one. */
async function sourceOf(session: Session, options: Options, to: Settings): Promise<Settings> {
  const { world } = session;
  const { from: profile, fromUrl, fromCustomer, fromClientId } = options;
  const env = oldEnvironment(world.env, fromClientId);
  if (profile === undefined && !(fromUrl ?? env['IW_URL'])) {
    throw usage('Which old service?', 'Name its profile (--from), or its URL (--from-url).');
  }
  const settings = settingsOf({ ...world, env }, { profile, url: fromUrl, customer: fromCustomer });
  const customer = settings.customer ?? to.customer;
  if (settings.url === to.url && customer === to.customer)
    throw usage('The old service and this one are the same.', 'Check --from and --profile.');
  const { fromSecretStdin = false } = options;
  const isAskedFor = fromSecretStdin || (settings.clientSecret === undefined && isInteractive(world));
  const clientSecret =
    isAskedFor && settings.clientId !== undefined
      ? await readSecret(world, {
          what: 'Client secret of the old service',
          variable: 'IW_FROM_CLIENT_SECRET',
          fromStdin: fromSecretStdin,
        })
      : settings.clientSecret;
  return { ...settings, customer, clientSecret };
}

/** The environment as the old service sees it: `IW_FROM_URL` is its `IW_URL`. */
function oldEnvironment(env: World['env'], clientId: string | undefined): Record<string, string | undefined> {
  const others = Object.entries(env).filter(([name]) => !name.startsWith('IW_'));
  const from = Object.entries(env)
    .filter(([name]) => name.startsWith('IW_FROM_'))
    .map(([name, value]) => [name.replace('IW_FROM_', 'IW_'), value] as const);
  return {
    ...Object.fromEntries([...others, ...from]),
    ...(clientId === undefined ? {} : { IW_CLIENT_ID: clientId }),
  };
}

interface Head {
  readonly dryRun: boolean;
  readonly from: { readonly url: string | undefined; readonly customer: string | undefined };
  readonly to: Head['from'];
  readonly warnings: readonly string[];
}

type Line = Omit<Done, 'result'> & { readonly result: Done['result'] | (typeof RESULT_OF)[Step['action']] };

function report(session: Session, head: Head, lines: readonly Line[]): void {
  const items = lines.map(({ step: { old }, result, id, notes }) => ({
    title: old.title,
    endpoint: old.endpoint,
    result,
    oldId: old.id,
    id: id ?? null,
    notes,
  }));
  const counts = countsOf(items);
  if (session.options.json) {
    session.json({ ...head, counts, subscriptions: items });
    return;
  }
  session.list({
    items,
    columns: [
      { title: 'RESULT', of: ({ result }) => result },
      { title: 'TITLE', of: ({ title }) => title, shrinks: true },
      { title: 'ENDPOINT', of: ({ endpoint }) => endpoint, shrinks: true },
      { title: 'OLD ID', of: ({ oldId }) => oldId },
      { title: 'ID HERE', of: ({ id }) => id ?? '' },
    ],
    idOf: ({ id, oldId }) => id ?? oldId,
    none: 'subscriptions',
  });
  const remarks = [
    ...items.flatMap(({ title, notes }) => notes.map((note) => `${title}: ${note}`)),
    ...head.warnings,
  ];
  if (!session.options.quiet) for (const remark of remarks) session.print(safe(remark));
  session.note(summaryOf(counts, head.dryRun));
}

function reportClients(session: Session, done: readonly ClientDone[], dryRun: boolean): void {
  const counts = countsOf(done);
  if (session.options.json) {
    session.json({ dryRun, counts, clients: done });
    return;
  }
  session.list({
    items: done,
    columns: [
      { title: 'RESULT', of: ({ result }) => result },
      { title: 'CLIENT ID', of: ({ clientId }) => clientId },
      { title: 'NOTE', of: ({ note }) => note, shrinks: true },
    ],
    idOf: ({ clientId }) => clientId,
    none: 'clients',
  });
  session.note(summaryOf(counts, dryRun));
}

function countsOf(items: readonly { readonly result: string }[]): Record<string, number> {
  return Object.fromEntries(
    Object.entries(Object.groupBy(items, ({ result }) => result)).map(([result, group]) => [
      result,
      group?.length ?? 0,
    ]),
  );
}

function summaryOf(counts: Readonly<Record<string, number>>, dryRun: boolean): string {
  const parts = Object.entries(counts).map(
    ([result, number]) => `${number} ${dryRun && result === 'kept' ? 'left alone' : result}`,
  );
  return `${parts.length === 0 ? 'Nothing to do' : parts.join(', ')}.${dryRun ? ' Nothing was changed: --dry-run.' : ''}`;
}

function failForRefused(number: number, total: number, what: string): void {
  if (number === 0) return;
  throw new Failure(
    'failed',
    `${number} of ${count(total, what)} cannot be imported as ${number === 1 ? 'it is' : 'they are'}.`,
    'The reasons are above; change them in the old service, or create them by hand.',
  );
}
