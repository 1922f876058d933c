/** `npm run deploy` against an account in memory, killed at every step; and against the real wrangler where that needs no account. */
import { execFile } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { experimental_readRawConfig } from 'wrangler';
import { programOf } from '../../packages/cli/src/program.ts';
import {
  checkName,
  configurationOf,
  type Deployment,
  filesOf,
  type RawConfig,
} from '../../scripts/deploy/configuration.ts';
import { deploy } from '../../scripts/deploy/deploy.ts';
import { type Flags, readSettings } from '../../scripts/deploy/settings.ts';
import { type Account, emptyAccount, Killed, scriptedWrangler } from './scripted-wrangler.ts';

const ROOT = join(import.meta.dirname, '../..');
const SOURCE = join(ROOT, 'wrangler.toml');
const raw = experimental_readRawConfig({ config: SOURCE }).rawConfig as RawConfig;
const SECRETS = ['OPERATOR_TOKEN', 'KEY_ENCRYPTION_KEY', 'TOKEN_SIGNING_KEY'];
const NO_FLAGS: Flags = {
  baseUrl: undefined,
  domain: undefined,
  jurisdiction: undefined,
  location: undefined,
};
const PROD = { ...NO_FLAGS, domain: 'webhooks.acme.org' };
const FOURTEEN_DAYS = 1_209_600;

/** A folder in which deployments are remembered, until the test ends. */
function newRoot(): string {
  const root = mkdtempSync(join(tmpdir(), 'deploy-test-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

interface Options {
  readonly name?: string | undefined;
  readonly flags?: Flags;
  readonly kill?: { at: number; when: 'before' | 'after' };
  /** Another wrangler.toml than that of the project. */
  readonly configuration?: RawConfig;
  /** A pipeline, whose files are gone when it ends. */
  readonly isPipeline?: boolean;
  /** Answers of `/healthz`, one after another; the last one goes on. */
  readonly healthy?: readonly boolean[];
}

/** Runs the command once. @returns what it printed, what it ran, and how often it waited */
async function run(root: string, account: Account, options: Options = {}) {
  const {
    name = 'prod',
    flags = PROD,
    kill,
    healthy = [true],
    isPipeline = false,
    configuration = raw,
  } = options;
  const { wrangler, calls } = scriptedWrangler(account, kill);
  const printed: string[] = [];
  const asked: string[] = [];
  const answers = [...healthy];
  let waits = 0;
  const unsettled: Deployment = { name, source: SOURCE, raw: configuration, settings: {} };
  const outcome = await (async () => {
    const settings = readSettings(filesOf(root, unsettled).settings, flags);
    await deploy(
      { ...unsettled, settings },
      {
        root,
        wrangler,
        keepsFiles: !isPipeline,
        buildConsole: async () => undefined,
        answers: async (url) => {
          asked.push(url);
          return (answers.length > 1 ? answers.shift() : answers[0]) ?? true;
        },
        wait: async () => {
          waits++;
        },
        say: (line) => printed.push(line),
      },
    );
  })().catch((error: unknown) => error);
  const files = filesOf(root, unsettled);
  return { outcome, printed: printed.join('\n'), calls, asked, waits: () => waits, files };
}

const readJson = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;

describe('a first deployment', () => {
  it('a first deployment makes the database, the five queues and the secrets, migrates, deploys and asks for health', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { outcome, asked, printed, files } = await run(root, account, { healthy: [false, false, true] });
    expect(outcome).toBeUndefined();
    expect([...account.databases.keys()]).toEqual(['prod-identity-webhooks']);
    expect(Object.fromEntries(account.queues)).toEqual(
      Object.fromEntries(
        ['events', 'slices', 'deliveries', 'unhealthy', 'dead-letters'].map((queue) => [
          `prod-webhook-${queue}`,
          { retention: FOURTEEN_DAYS },
        ]),
      ),
    );
    expect([...account.migrated]).toEqual(['prod-identity-webhooks']);
    const worker = account.workers.get('prod-identity-webhooks');
    expect(Object.fromEntries(worker?.secrets ?? [])).toEqual(readJson(files.secrets));
    expect(worker?.configuration.vars).toMatchObject({
      NAME_PREFIX: 'prod-',
      BASE_URL: 'https://webhooks.acme.org',
    });
    expect(worker?.configuration).toMatchObject({
      workers_dev: false,
      routes: [{ pattern: 'webhooks.acme.org', custom_domain: true }],
    });
    expect(asked).toEqual(Array(3).fill('https://webhooks.acme.org/healthz'));
    expect(printed).toContain('Next, log in as the operator and create a customer:');
  });

  it('its next step logs in and creates a customer by iw, which understands both commands', async () => {
    const { printed } = await run(newRoot(), emptyAccount());
    const named = printed
      .split('\n')
      .filter((line) => line.includes('npx iw '))
      .map((line) => line.replace(/^.*npx iw /, '').split(' '));
    expect(named).toEqual([
      'login https://webhooks.acme.org --operator --profile prod --secret-stdin'.split(' '),
      'customers create Acme --use --profile prod'.split(' '),
    ]);
    for (const words of named) {
      const program = programOf({ out: {}, err: {} } as never, () => {
        throw new Error('begins');
      });
      await expect(program.parseAsync(words, { from: 'user' })).rejects.toThrow('begins');
    }
  });

  it('the secrets that it makes have the lengths that the service asks for, and only their owner can read the file', async () => {
    const { files } = await run(newRoot(), emptyAccount());
    const secrets = readJson(files.secrets);
    expect(Object.keys(secrets)).toEqual(SECRETS);
    expect(Buffer.from(secrets['KEY_ENCRYPTION_KEY'] ?? '', 'base64')).toHaveLength(32);
    expect(Buffer.from(secrets['TOKEN_SIGNING_KEY'] ?? '', 'base64')).toHaveLength(32);
    expect((secrets['OPERATOR_TOKEN'] ?? '').length).toBeGreaterThanOrEqual(32);
    expect(statSync(files.secrets).mode & 0o777).toBe(0o600);
  });

  it('no secret is printed, is on a command line, or stays in the file that wrangler reads', async () => {
    const { printed, calls, files } = await run(newRoot(), emptyAccount());
    for (const secret of Object.values(readJson(files.secrets))) {
      expect(printed).not.toContain(secret);
      expect(JSON.stringify(calls)).not.toContain(secret);
    }
    expect(existsSync(files.upload)).toBe(false);
  });

  it.each([
    [{ location: 'enam' }, { region: 'aws:us-east-1' }],
    [{ location: 'eeur' }, { region: 'gcp:europe-central2' }],
    [{ jurisdiction: 'eu' }, { region: 'aws:eu-central-1' }],
    [{ jurisdiction: 'eu', location: 'eeur' }, { region: 'gcp:europe-central2' }],
    [{}, { mode: 'smart' }],
  ])('a deployment with %o serves requests at %o', async (flags, placement) => {
    const { files } = await run(newRoot(), emptyAccount(), { flags: { ...PROD, ...flags } });
    expect(JSON.parse(readFileSync(files.configuration, 'utf8')).placement).toEqual(placement);
  });

  it.each([
    ['azure:westeurope', { region: 'azure:westeurope' }],
    ['off', { mode: 'off' }],
  ])('a deployment whose settings say placement %s serves requests there', async (placement, expected) => {
    const root = newRoot();
    const { files } = await run(root, emptyAccount(), { flags: { ...PROD, location: 'weur' } });
    const settings = JSON.parse(readFileSync(files.settings, 'utf8'));
    writeFileSync(files.settings, JSON.stringify({ ...settings, placement }));
    await run(root, emptyAccount(), { flags: NO_FLAGS });
    expect(JSON.parse(readFileSync(files.configuration, 'utf8')).placement).toEqual(expected);
  });

  it('a cell has its jurisdiction in the database, in every queue and in the variable', async () => {
    const account = emptyAccount();
    await run(newRoot(), account, { name: 'eu', flags: { ...PROD, jurisdiction: 'eu', location: 'weur' } });
    expect(account.databases.get('eu-identity-webhooks')).toMatchObject({ jurisdiction: 'eu' });
    // The platform ignores a location within a jurisdiction.
    expect(account.databases.get('eu-identity-webhooks')).not.toHaveProperty('location');
    expect([...account.queues.values()].map(({ jurisdiction }) => jurisdiction)).toEqual(Array(5).fill('eu'));
    const vars = account.workers.get('eu-identity-webhooks')?.configuration.vars;
    expect(vars).toMatchObject({ JURISDICTION: 'eu', LOCATION_HINT: 'weur' });
  });

  it('a JURISDICTION in wrangler.toml counts for the database and the queues, too', async () => {
    const account = emptyAccount();
    const vars = { ...raw.vars, JURISDICTION: 'us' };
    await run(newRoot(), account, { name: 'us', configuration: { ...raw, vars } });
    expect(account.databases.get('us-identity-webhooks')).toMatchObject({ jurisdiction: 'us' });
    expect([...account.queues.values()].map(({ jurisdiction }) => jurisdiction)).toEqual(Array(5).fill('us'));
  });

  it('a service that does not answer within five minutes ends the command with what to look at', async () => {
    const { outcome, waits } = await run(newRoot(), emptyAccount(), { healthy: [false] });
    expect(String(outcome)).toContain(
      'https://webhooks.acme.org/healthz does not answer 200 after 5 minutes',
    );
    expect(waits()).toBe(59);
  });
});

describe('a repeated deployment', () => {
  it('a repeat needs the name alone, makes nothing and sends no secret', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const first = await run(root, account);
    const before = readJson(first.files.secrets);
    const { outcome, calls } = await run(root, account, { flags: NO_FLAGS });
    expect(outcome).toBeUndefined();
    expect(calls.filter(([, verb]) => verb === 'create')).toEqual([]);
    expect(calls.flat()).not.toContain('--secrets-file');
    expect(readJson(first.files.secrets)).toEqual(before);
  });

  it('a repeat lengthens the retention of queues that an earlier deployment left at four days', async () => {
    const root = newRoot();
    const account = emptyAccount();
    account.queues.set('prod-webhook-events', { retention: 345_600 });
    await run(root, account);
    expect(account.queues.get('prod-webhook-events')).toEqual({ retention: FOURTEEN_DAYS });
  });

  it('another machine, without the file of secrets, deploys and makes no file', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { files } = await run(root, account);
    rmSync(files.secrets);
    const { outcome, calls } = await run(root, account, { flags: NO_FLAGS });
    expect(outcome).toBeUndefined();
    expect(existsSync(files.secrets)).toBe(false);
    expect(calls.flat()).not.toContain('--secrets-file');
  });

  it('a Worker that lost one secret gets that one from the file, and keeps the others', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { files } = await run(root, account);
    const secrets = account.workers.get('prod-identity-webhooks')?.secrets;
    secrets?.delete('TOKEN_SIGNING_KEY');
    secrets?.set('KEY_ENCRYPTION_KEY', 'changed by hand');
    await run(root, account, { flags: NO_FLAGS });
    expect(secrets?.get('TOKEN_SIGNING_KEY')).toBe(readJson(files.secrets)['TOKEN_SIGNING_KEY']);
    expect(secrets?.get('KEY_ENCRYPTION_KEY')).toBe('changed by hand');
  });

  it('a key that nobody has any more is not replaced by a new one while the database has signing keys', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { files } = await run(root, account);
    const database = account.databases.get('prod-identity-webhooks');
    rmSync(files.secrets);
    account.workers.delete('prod-identity-webhooks');
    if (database !== undefined) database.keys = 3;
    const { outcome } = await run(root, account, { flags: NO_FLAGS });
    expect(String(outcome)).toContain('Put your copy of it into deployments/prod.secrets.json');
    expect(existsSync(files.secrets)).toBe(false);
    expect(account.workers.size).toBe(0);
    if (database !== undefined) database.keys = 0;
    expect((await run(root, account, { flags: NO_FLAGS })).outcome).toBeUndefined();
  });
});

describe('a deployment from a pipeline', () => {
  it('a pipeline makes no secrets that would be lost with it: it deploys, and says which are missing', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { outcome, printed, asked, files, calls } = await run(root, account, { isPipeline: true });
    expect(outcome).toBeUndefined();
    expect(existsSync(files.secrets)).toBe(false);
    expect(calls.flat()).not.toContain('--secrets-file');
    expect(account.workers.get('prod-identity-webhooks')?.secrets.size).toBe(0);
    expect(asked).toEqual([]);
    expect(printed).toContain('The Worker has no OPERATOR_TOKEN, KEY_ENCRYPTION_KEY, TOKEN_SIGNING_KEY');
  });

  it('a pipeline deploys a Worker that has its secrets as any other machine does', async () => {
    const root = newRoot();
    const account = emptyAccount();
    await run(root, account);
    const { outcome, asked, printed } = await run(root, account, { isPipeline: true, flags: NO_FLAGS });
    expect(outcome).toBeUndefined();
    expect(asked).toHaveLength(1);
    expect(printed).toContain('Next, log in as the operator and create a customer:');
  });
});

describe('a deployment that is killed', () => {
  it('a deployment that was killed at any call ends as if it had not been, when it is repeated', async () => {
    const reference = emptyAccount();
    const { calls } = await run(newRoot(), reference);
    for (let at = 0; at < calls.length; at++) {
      for (const when of ['before', 'after'] as const) {
        const root = newRoot();
        const account = emptyAccount();
        const killed = await run(root, account, { kill: { at, when } });
        expect(killed.outcome, `${when} call ${at}`).toBeInstanceOf(Killed);
        const secretsThen = existsSync(killed.files.secrets) ? readJson(killed.files.secrets) : undefined;
        const { outcome, files } = await run(root, account);
        expect(outcome, `${when} call ${at}: ${calls[at]?.join(' ')}`).toBeUndefined();
        expect(account.databases).toEqual(reference.databases);
        expect(account.queues).toEqual(reference.queues);
        expect(account.migrated).toEqual(reference.migrated);
        const secrets = readJson(files.secrets);
        if (secretsThen !== undefined) expect(secrets).toEqual(secretsThen);
        expect(Object.fromEntries(account.workers.get('prod-identity-webhooks')?.secrets ?? [])).toEqual(
          secrets,
        );
        expect(existsSync(files.upload)).toBe(false);
      }
    }
  });

  it('what a killed run left half written is not read, and the file that wrangler read is deleted', async () => {
    const root = newRoot();
    mkdirSync(join(root, 'deployments'));
    mkdirSync(join(root, 'dist/deploy'), { recursive: true });
    writeFileSync(join(root, 'deployments', '.prod.secrets.json.1'), '{"OPERATOR_TOKEN":"ha');
    writeFileSync(join(root, 'dist/deploy/prod-identity-webhooks.secrets.json'), '{"OPERATOR_TOKEN":"ha');
    const { outcome, files } = await run(root, emptyAccount());
    expect(outcome).toBeUndefined();
    expect(existsSync(files.upload)).toBe(false);
    expect(Object.keys(readJson(files.secrets))).toEqual(SECRETS);
  });
});

describe('the settings of a deployment', () => {
  it('the file has what was given and nothing else, so that a change of one line is enough', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { files } = await run(root, account);
    expect(readJson(files.settings)).toEqual({ domain: 'webhooks.acme.org' });
    writeFileSync(
      files.settings,
      JSON.stringify({ domain: 'hooks.acme.org', vars: { VERIFY_ENDPOINTS: 'true' } }),
    );
    expect((await run(root, account, { flags: NO_FLAGS })).outcome).toBeUndefined();
    expect(account.workers.get('prod-identity-webhooks')?.configuration.vars).toMatchObject({
      BASE_URL: 'https://hooks.acme.org',
      VERIFY_ENDPOINTS: 'true',
    });
  });

  it('a slash at the end of a base URL is left out, as the service does', async () => {
    const { asked, outcome } = await run(newRoot(), emptyAccount(), {
      flags: { ...NO_FLAGS, baseUrl: 'https://prod-identity-webhooks.acme.workers.dev/' },
    });
    expect(outcome).toBeUndefined();
    expect(asked).toEqual(['https://prod-identity-webhooks.acme.workers.dev/healthz']);
  });

  it.each([
    ['a secret', 'OPERATOR_TOKEN'],
    ['a variable that does not exist', 'VERIFY_ENDPOINT'],
    ['a variable that the command sets itself', 'JURISDICTION'],
  ])('%s among the variables is refused before anything is made', async (_, name) => {
    const root = newRoot();
    mkdirSync(join(root, 'deployments'));
    writeFileSync(
      join(root, 'deployments/prod.json'),
      JSON.stringify({ domain: 'webhooks.acme.org', vars: { [name]: 'canary' } }),
    );
    const { outcome, calls } = await run(root, emptyAccount(), { flags: NO_FLAGS });
    expect(String(outcome)).toContain(`vars has ${name}`);
    expect(String(outcome)).not.toContain('canary');
    expect(calls).toEqual([]);
  });
});

describe('several deployments in one account', () => {
  it('two names share no Worker, database, queue, secret or rate limit', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const prod = await run(root, account);
    const staging = await run(root, account, {
      name: 'staging',
      flags: { ...NO_FLAGS, domain: 'staging.acme.org' },
    });
    expect([prod.outcome, staging.outcome]).toEqual([undefined, undefined]);
    expect(account.workers.size).toBe(2);
    expect(account.databases.size).toBe(2);
    expect(account.queues.size).toBe(10);
    const shared = Object.values(readJson(prod.files.secrets)).filter((secret) =>
      Object.values(readJson(staging.files.secrets)).includes(secret),
    );
    expect(shared).toEqual([]);
    const limits = [undefined, 'prod', 'staging', 'eu'].flatMap((name) => {
      const made = configurationOf(
        { name, source: SOURCE, raw, settings: { baseUrl: 'https://a.acme.org' } },
        SOURCE,
      );
      return (made as RawConfig).ratelimits?.map(({ namespace_id }) => namespace_id) ?? [];
    });
    expect(limits).toHaveLength(24);
    expect(new Set(limits).size).toBe(24);
    for (const id of limits) expect(Number(id)).toBeLessThan(2 ** 31);
  });

  it('the names of wrangler.toml are used when there is no --name', async () => {
    const account = emptyAccount();
    const made = configurationOf(
      { name: undefined, source: SOURCE, raw, settings: { baseUrl: 'https://a.acme.org' } },
      SOURCE,
    );
    expect(made).toMatchObject({ name: 'identity-webhooks', vars: { NAME_PREFIX: '' } });
    expect(made).toMatchObject({
      queues: { producers: raw.queues?.producers, consumers: raw.queues?.consumers },
    });
    expect(account.workers.size).toBe(0);
  });

  it('the page of the console comes through the Worker of a deployment, too, with the pages that may frame it', async () => {
    const ancestors = 'https://admin.acme.org';
    const settings = { baseUrl: 'https://a.acme.org', vars: { CONSOLE_FRAME_ANCESTORS: ancestors } };
    const made = configurationOf({ name: 'prod', source: SOURCE, raw, settings }, SOURCE);
    expect(made).toMatchObject({
      assets: {
        binding: 'ASSETS',
        run_worker_first: ['/*/webhooks/*', '/console', '/console/', '/console/index.html'],
      },
      vars: { CONSOLE_FRAME_ANCESTORS: ancestors },
    });
  });
});

describe('what a deployment refuses', () => {
  it.each([
    ['the placeholder of wrangler.toml', NO_FLAGS],
    ['a host under example.com', { ...NO_FLAGS, domain: 'hooks.example.com' }],
    ['a reserved name', { ...NO_FLAGS, baseUrl: 'https://hooks.invalid' }],
    ['localhost', { ...NO_FLAGS, baseUrl: 'https://localhost' }],
  ])('a BASE_URL that is %s is refused before anything is made', async (_, flags) => {
    const root = newRoot();
    const { outcome, calls } = await run(root, emptyAccount(), { flags });
    expect(String(outcome)).toContain('is a placeholder');
    expect(calls).toEqual([]);
    expect(readdirSync(root)).toEqual([]);
  });

  it.each([
    ['domain', { ...NO_FLAGS, domain: 'no spaces.org' }, 'domain must be a host name'],
    ['domain with a scheme', { ...NO_FLAGS, domain: 'https://acme.org' }, 'domain must be a host name'],
    ['base URL', { ...NO_FLAGS, baseUrl: 'http://acme.org' }, 'baseUrl must be an https URL'],
    ['jurisdiction', { ...PROD, jurisdiction: 'ch' }, 'jurisdiction must be one of eu, us, fedramp'],
    ['location', { ...PROD, location: 'me' }, 'location must be one of wnam'],
    ['pair', { ...PROD, baseUrl: 'https://other.acme.org' }, 'is not at domain webhooks.acme.org'],
  ])('a bad %s is named', async (_, flags, message) => {
    const { outcome, calls } = await run(newRoot(), emptyAccount(), { flags });
    expect(String(outcome)).toContain(message);
    expect(calls).toEqual([]);
  });

  it.each(['Prod', 'prod-', '-prod', '1prod', 'a_b', 'default', '', 'x'.repeat(31)])(
    'the name %j is refused',
    (name) => {
      expect(() => checkName(name)).toThrow('--name');
    },
  );

  it('a repeat with another jurisdiction is refused, and so is one with another domain', async () => {
    const root = newRoot();
    const account = emptyAccount();
    await run(root, account, { flags: { ...PROD, jurisdiction: 'eu' } });
    const moved = await run(root, account, { flags: { ...NO_FLAGS, jurisdiction: 'us' } });
    expect(String(moved.outcome)).toContain('never changes its jurisdiction');
    const renamed = await run(root, account, { flags: { ...NO_FLAGS, domain: 'other.acme.org' } });
    expect(String(renamed.outcome)).toContain('change the file');
    expect([...moved.calls, ...renamed.calls]).toEqual([]);
  });

  it('a deployment whose settings lost the jurisdiction is stopped by the database, before it is deployed', async () => {
    const root = newRoot();
    const account = emptyAccount();
    const { files } = await run(root, account, { flags: { ...PROD, jurisdiction: 'eu' } });
    rmSync(files.settings);
    const { outcome, calls } = await run(root, account, { flags: PROD });
    expect(String(outcome)).toContain('has jurisdiction eu, and the deployment has none');
    expect(calls.map(([first]) => first)).not.toContain('deploy');
  });

  it('a command of wrangler that fails ends the deployment with its words, and with how to sign in', async () => {
    const stderr = "✘ [ERROR] In a non-interactive environment, it's necessary to set a CLOUDFLARE_API_TOKEN";
    const settings = { baseUrl: 'https://a.acme.org' };
    const outcome = await deploy(
      { name: 'prod', source: SOURCE, raw, settings },
      {
        root: newRoot(),
        keepsFiles: true,
        buildConsole: async () => undefined,
        wrangler: async () => ({ status: 1, stdout: '', stderr }),
        answers: async () => true,
        wait: async () => undefined,
        say: () => undefined,
      },
    ).catch((error: unknown) => error);
    expect(String(outcome)).toContain('wrangler d1 list --json failed');
    expect(String(outcome)).toContain('npx wrangler login');
  });
});

describe('a dry run with the real wrangler', () => {
  const dryRun = async (...flags: string[]) => {
    const args = [join(ROOT, 'scripts/deploy.ts'), '--dry-run', ...flags];
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: ROOT });
    return stdout;
  };
  const examples = globSync('examples/*/wrangler.toml', { cwd: ROOT });

  it.each([
    ['test-prod', ['--domain', 'webhooks.acme.org', '--jurisdiction', 'eu']],
    ['test-staging', ['--base-url', 'https://test-staging-identity-webhooks.acme.workers.dev']],
  ])(
    'the service builds as %s, with a name of its own for every queue, and nothing is changed',
    async (name, flags) => {
      const printed = await dryRun('--name', name, ...flags);
      for (const queue of ['events', 'slices', 'deliveries', 'unhealthy', 'dead-letters'])
        expect(printed).toContain(`(${name}-webhook-${queue})`);
      expect(printed).toContain('--dry-run: exiting now.');
      expect(existsSync(join(ROOT, 'deployments'))).toBe(false);
    },
  );

  it.each(examples)('the Worker of %s builds for a deployment with a name', async (config) => {
    const printed = await dryRun('--name', 'test-prod', '--config', config);
    expect(printed).toMatch(/^test-prod-/);
    expect(printed).toContain('--dry-run: exiting now.');
  });
});
