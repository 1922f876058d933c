/** `iw customers`: for the operator (contract 10.2). */
import type { ItemOf } from '@identity-webhooks/client';
import { type Command, Option } from 'commander';
import { all, type Begin, examples, parseSeconds } from '../command.ts';
import { usage } from '../failure.ts';
import { readProfiles, writeProfiles } from '../profiles.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { time } from '../text.ts';

type Customer = ItemOf<'listCustomers'>;
type Algorithm = Customer['signingAlgorithm'];

interface NewCustomer {
  readonly id?: string;
  readonly use?: boolean;
  readonly signingAlgorithm?: Algorithm;
}

const COLUMNS: readonly Column<Customer>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'NAME', of: ({ name }) => name, shrinks: true },
  { title: 'CREATED', of: ({ createdAt }) => time(createdAt) },
  { title: 'SIGNED BY', of: ({ signingAlgorithm }) => signingAlgorithm },
  { title: 'FULLEST STORE', of: ({ fullestStorePercent }) => `${fullestStorePercent} %` },
];

interface LinkOptions {
  readonly readOnly?: true;
  readonly expires?: number;
}

/** How long a link may be usable (contract 10.15). */
const LINK_SECONDS_MIN = 60;
const LINK_SECONDS_MAX = 86_400;

export function addCustomers(program: Command, begin: Begin): void {
  const customers = program
    .command('customers')
    .summary('create, list, change and erase customers')
    .description('Customers of the service. These commands need the operator token: iw login --operator');
  examples(
    customers
      .command('list')
      .description('Lists all customers, oldest first.')
      .action(async () => {
        const session = begin();
        const items = await all(session.operator().items('listCustomers', { query: {} }));
        session.list({ items, columns: COLUMNS, idOf: ({ id }) => id, none: 'customers' });
      }),
    'iw customers list',
  );
  examples(
    customers
      .command('show')
      .description('Shows one customer.')
      .argument('[customer]', 'the id; default: that of --customer or of the profile')
      .action(async (given: string | undefined) => {
        const session = begin();
        const cid = given ?? session.customerId();
        showCustomer(session, await session.operator().call('getCustomer', { cid }));
      }),
    'iw customers show b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  );
  examples(
    customers
      .command('create')
      .description('Creates a customer and its signing keys.')
      .argument('<name>', 'the name, 1 to 200 characters')
      .option('--id <id>', 'the id, for a customer that moves here and keeps it')
      .addOption(algorithmOption('what signs its tokens'))
      .option('--use', 'make it the customer of the profile')
      .action(async (name: string, { id, use, signingAlgorithm }: NewCustomer) => {
        const session = begin();
        const body = {
          name,
          ...(id === undefined ? {} : { id }),
          ...(signingAlgorithm === undefined ? {} : { signingAlgorithm }),
        };
        const customer = await session.operator().call('createCustomer', { body });
        if (use) useCustomer(session, customer.id);
        showCustomer(session, customer);
      }),
    'iw customers create Acme --use',
    'iw customers create Acme --id b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  );
  examples(
    customers
      .command('edit')
      .summary('change what signs its tokens')
      .description(
        'Changes the algorithm that signs the tokens of the customer. EdDSA signs after 24 hours, RS256 at once. Listeners must accept both.',
      )
      .argument('[customer]', 'the id; default: that of --customer or of the profile')
      .addOption(algorithmOption('what signs from now on').makeOptionMandatory())
      .action(async (given: string | undefined, body: { signingAlgorithm: Algorithm }) => {
        const session = begin();
        const cid = given ?? session.customerId();
        const operator = session.operator();
        if (body.signingAlgorithm === 'EdDSA')
          await session.confirm(
            `Let EdDSA sign for the customer ${cid}? Do all its listeners accept EdDSA and RS256?`,
          );
        showCustomer(session, await operator.call('updateCustomer', { cid, body }));
      }),
    'iw customers edit --signing-algorithm EdDSA',
  );
  examples(
    customers
      .command('erase')
      .description(
        'Erases a customer: its clients, keys, subscriptions, dead letters and every stored event. Nothing brings them back.',
      )
      .argument('<customer>', 'the id')
      .action(async (cid: string) => {
        const session = begin();
        const operator = session.operator();
        const { name } = await operator.call('getCustomer', { cid });
        await session.confirm(`Erase the customer ${name} (${cid}) with everything that it has?`);
        await operator.call('eraseCustomer', { cid });
        session.done(`The customer ${name} is erased.`, { id: cid, erased: true });
      }),
    'iw customers erase b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  );
  examples(
    customers
      .command('console-link')
      .summary('make a link into the console')
      .description(
        'Makes a link by which an administrator of the customer signs in to the console, and shows it, this once. It works once, for the ' +
          'browser that opens it first. The session ends after eight hours.',
      )
      .argument('[customer]', 'the id; default: that of --customer or of the profile')
      .option('--read-only', 'a session that can change nothing')
      .option(
        '--expires <time>',
        'how long the link can be used: 60s to 24h; one hour without it',
        parseSeconds(LINK_SECONDS_MIN, LINK_SECONDS_MAX),
      )
      .action(async (given: string | undefined, { readOnly, expires }: LinkOptions) => {
        const session = begin();
        const cid = given ?? session.customerId();
        const body = {
          ...(readOnly === undefined ? {} : { readOnly }),
          ...(expires === undefined ? {} : { expiresInSeconds: expires }),
        };
        const link = await session.operator().call('createConsoleLink', { cid, body });
        session.show(link, link.url, [
          ['Link', link.url],
          ['May', link.readOnly ? 'read' : 'read and change'],
          ['Works until', `${time(link.expiresAt)}, once`],
        ]);
        if (!session.options.quiet)
          session.note('Give it to nobody but the administrator: it is shown this once.');
      }),
    'iw customers console-link CUSTOMER',
    'iw customers console-link CUSTOMER --read-only --expires 15m',
  );
  examples(
    customers
      .command('adopt-again')
      .summary('after a restore of the database')
      .description(
        'After the database was restored to an earlier time: makes the event stores of the customer go by its rows again. Safe to repeat.',
      )
      .argument('[customer]', 'the id; default: that of --customer or of the profile')
      .action(async (given: string | undefined) => {
        const session = begin();
        const cid = given ?? session.customerId();
        const result = await session.operator().call('adoptSubscriptionsAgain', { cid });
        session.done(
          `${result.adopted} of ${result.total} event stores have adopted their subscription; the others do within a day.`,
          result,
        );
      }),
    'iw customers adopt-again b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  );
}

function algorithmOption(meaning: string): Option {
  return new Option('--signing-algorithm <algorithm>', meaning).choices([
    'RS256',
    'EdDSA',
  ] satisfies Algorithm[]);
}

function showCustomer(session: Session, customer: Customer): void {
  const { signingAlgorithm, signingAlgorithmFrom: from } = customer;
  session.show(customer, customer.id, [
    ['Id', customer.id],
    ['Name', customer.name],
    ['Created', time(customer.createdAt)],
    ['Signed by', from === undefined ? signingAlgorithm : `${signingAlgorithm}, from ${time(from)} on`],
    ['Fullest event store', `${customer.fullestStorePercent} %`],
  ]);
}

/** The client of another customer does not stay in the profile. */
function useCustomer({ settings, world: { env } }: Session, customer: string): void {
  const { current, all } = readProfiles(env);
  const profile = all.get(settings.profile);
  if (profile === undefined)
    throw usage('There is no profile to keep the customer in.', 'Log in first: iw login URL --operator');
  const { url, operatorToken } = profile;
  const next = new Map(all).set(settings.profile, { url, operatorToken, customer });
  writeProfiles(env, { current, all: next });
}
