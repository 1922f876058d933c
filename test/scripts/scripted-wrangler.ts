/**
 * A wrangler with an account in memory. It answers in the words of wrangler 4.156.2 (the texts of its `d1`, `queues`, `secret` and
 * `deploy` commands), and can die before or after any call, as a process does that is killed.
 */
import { readFileSync } from 'node:fs';
import type { Answer, Wrangler } from '../../scripts/deploy/wrangler.ts';

export interface Account {
  readonly databases: Map<string, { uuid: string; jurisdiction?: string; location?: string; keys: number }>;
  readonly queues: Map<string, { retention: number; jurisdiction?: string }>;
  /** The secrets of each Worker, and its configuration. */
  readonly workers: Map<string, { secrets: Map<string, string>; configuration: Configuration }>;
  readonly migrated: Set<string>;
}

export interface Configuration {
  readonly name: string;
  readonly vars?: Readonly<Record<string, string>>;
  readonly routes?: readonly { readonly pattern: string }[];
  readonly workers_dev?: boolean;
  readonly d1_databases?: readonly { readonly database_name: string; readonly database_id?: string }[];
  readonly queues: {
    readonly producers: readonly { readonly queue: string }[];
    readonly consumers: readonly { readonly queue: string; readonly dead_letter_queue?: string }[];
  };
}

/** The process was killed. */
export class Killed extends Error {}

export const emptyAccount = (): Account => ({
  databases: new Map(),
  queues: new Map(),
  workers: new Map(),
  migrated: new Set(),
});

const ok = (stdout: string): Answer => ({ status: 0, stdout, stderr: '' });
const error = (text: string): Answer => ({ status: 1, stdout: '', stderr: `✘ [ERROR] ${text}\n` });

/** @param kill dies at this call, counted from 0, before or after its effect */
export function scriptedWrangler(account: Account, kill?: { at: number; when: 'before' | 'after' }) {
  const calls: string[][] = [];
  const wrangler: Wrangler = async (args) => {
    const dies = kill?.at === calls.length;
    calls.push([...args]);
    if (dies && kill?.when === 'before') throw new Killed();
    const answer = run(account, args);
    if (dies) throw new Killed();
    return answer;
  };
  return { wrangler, calls };
}

function run(account: Account, args: readonly string[]): Answer {
  const value = (flag: string) => (args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined);
  const configuration = JSON.parse(readFileSync(value('--config') ?? '', 'utf8')) as Configuration;
  const [first, second, third = ''] = args;
  switch (`${first} ${second}`) {
    case 'd1 list':
      return ok(
        JSON.stringify(
          [...account.databases].map(([name, { uuid, jurisdiction }]) => ({
            uuid,
            name,
            version: 'production',
            created_at: '2026-11-29T10:00:00.000Z',
            jurisdiction: jurisdiction ?? null,
          })),
          null,
          2,
        ),
      );
    case 'd1 create':
      return createDatabase(account, third, value('--jurisdiction'), value('--location'));
    case 'd1 execute':
      return execute(account, configuration, value('--command') ?? '');
    case 'd1 migrations':
      return migrate(account, configuration);
    case 'queues info':
      return queueInfo(account, third);
    case 'queues create':
    case 'queues update': {
      const known = account.queues.get(third);
      if (second === 'create' && known !== undefined)
        return error(`Queue name '${third}' is already taken. [code: 11009]`);
      const jurisdiction = known?.jurisdiction ?? value('--jurisdiction');
      const retention = Number(value('--message-retention-period-secs'));
      account.queues.set(third, { retention, ...(jurisdiction === undefined ? {} : { jurisdiction }) });
      return ok(
        second === 'create'
          ? `🌀 Creating queue '${third}'\n✅ Created queue '${third}'\n`
          : `Updated queue ${third}.\n`,
      );
    }
    case 'secret list': {
      const worker = value('--name') ?? '';
      const secrets = account.workers.get(worker)?.secrets;
      if (secrets === undefined) {
        return error(
          `Worker "${worker}" not found.\n\nIf this is a new Worker, run \`wrangler deploy\` first to create it.`,
        );
      }
      return ok(
        JSON.stringify(
          [...secrets.keys()].map((name) => ({ name, type: 'secret_text' })),
          null,
          '  ',
        ),
      );
    }
  }
  if (first === 'deploy') return deploy(account, configuration, value('--secrets-file'));
  throw new Error(`no such command: ${args.join(' ')}`);
}

function createDatabase(account: Account, name: string, jurisdiction?: string, location?: string): Answer {
  if (account.databases.has(name)) return error('A database with that name already exists');
  account.databases.set(name, {
    uuid: `0000d1d1-0000-4000-8000-${String(account.databases.size + 1).padStart(12, '0')}`,
    keys: 0,
    ...(jurisdiction === undefined ? {} : { jurisdiction }),
    ...(location === undefined ? {} : { location }),
  });
  return ok(`✅ Successfully created DB '${name}' in region WEUR\nCreated your new D1 database.\n`);
}

function execute(account: Account, configuration: Configuration, query: string): Answer {
  const { database_name = '', database_id } = configuration.d1_databases?.[0] ?? {};
  const database = account.databases.get(database_name);
  if (database === undefined || database.uuid !== database_id) return error(`Couldn't find a D1 DB`);
  const hasTable = account.migrated.has(database_name);
  if (!hasTable && !query.includes('sqlite_master'))
    return error('no such table: signing_keys: SQLITE_ERROR [code: 7500]');
  const n = query.includes('sqlite_master') ? Number(hasTable) : database.keys;
  return ok(JSON.stringify([{ results: [{ n }], success: true, meta: { duration: 0.2 } }], null, 2));
}

function migrate(account: Account, configuration: Configuration): Answer {
  const { database_name = '', database_id } = configuration.d1_databases?.[0] ?? {};
  if (account.databases.get(database_name)?.uuid !== database_id)
    return error(`Couldn't find a D1 DB named '${database_name}'`);
  if (account.migrated.has(database_name)) return ok('✅ No migrations to apply!\n');
  account.migrated.add(database_name);
  return ok('🌀 Executing on remote database DB\n🚣 17 commands executed successfully.\n');
}

function queueInfo(account: Account, name: string): Answer {
  const queue = account.queues.get(name);
  if (queue === undefined)
    return error(`Queue "${name}" does not exist. To create it, run: wrangler queues create ${name}`);
  const jurisdiction = queue.jurisdiction === undefined ? '' : `Jurisdiction: ${queue.jurisdiction}\n`;
  return ok(
    `Queue Name: ${name}\nQueue ID: 5e1b9969eb974d8c99c48d19df104c7a\n${jurisdiction}Created On: 2026-11-29T10:00:00Z\nLast Modified: 2026-11-29T10:00:00Z\nNumber of Producers: 0\nNumber of Consumers: 0\n`,
  );
}

function deploy(account: Account, configuration: Configuration, secretsFile?: string): Answer {
  const { name, queues, d1_databases = [], routes = [], workers_dev } = configuration;
  for (const { queue } of [...queues.producers, ...queues.consumers]) {
    if (!account.queues.has(queue))
      return error(`Queue "${queue}" does not exist. To create it, run: wrangler queues create ${queue}`);
  }
  for (const { database_name, database_id } of d1_databases) {
    if (account.databases.get(database_name)?.uuid !== database_id)
      return error('binding DB of type d1 must have a valid `id` specified [code: 10021]');
  }
  const given =
    secretsFile === undefined
      ? {}
      : (JSON.parse(readFileSync(secretsFile, 'utf8')) as Record<string, string>);
  const secrets = account.workers.get(name)?.secrets ?? new Map<string, string>();
  for (const [secret, value] of Object.entries(given)) secrets.set(secret, value);
  account.workers.set(name, { secrets, configuration });
  const targets = routes.map(({ pattern }) => `  ${pattern} (custom domain)\n`);
  if (workers_dev !== false) targets.push(`  https://${name}.acme.workers.dev\n`);
  return ok(
    `Total Upload: 1040.57 KiB / gzip: 270.13 KiB\nUploaded ${name} (3.12 sec)\nDeployed ${name} triggers (1.24 sec)\n${targets.join('')}  schedule: */5 * * * *\nCurrent Version ID: 11111111-1111-4111-8111-111111111111\n`,
  );
}
