/**
 * What is in the account, and what is made there. Each function looks first, so a repeat finds what an earlier run has made,
 * wherever that run died.
 */
import { z } from 'zod';
import { Refused } from './refused.ts';
import type { Answer, Wrangler } from './wrangler.ts';

/** The longest that the platform keeps a message. Four days is the default: less than a consumer may be broken over a holiday. */
const RETENTION_SECONDS = 14 * 86_400;

const Databases = z.array(
  z.object({ uuid: z.string(), name: z.string(), jurisdiction: z.string().nullish() }),
);
const Rows = z.tuple([z.object({ results: z.tuple([z.object({ n: z.number() })]) })]);
const Secrets = z.array(z.object({ name: z.string() }));

/** Where something is made. */
export interface Place {
  readonly jurisdiction?: string | undefined;
  /** What the platform calls a hint. */
  readonly location?: string | undefined;
}

/** Calls of wrangler for one configuration. */
export class Account {
  readonly #wrangler: Wrangler;
  readonly #configuration: string;

  constructor(wrangler: Wrangler, configuration: string) {
    this.#wrangler = wrangler;
    this.#configuration = configuration;
  }

  /** @returns the id; `undefined` when there is no such database */
  async findDatabase(name: string, { jurisdiction }: Place): Promise<string | undefined> {
    const { stdout } = await this.#run(['d1', 'list', '--json']);
    const found = parse(Databases, 'wrangler d1 list', stdout).find((one) => one.name === name);
    checkJurisdiction(`the database ${name}`, found?.jurisdiction, jurisdiction);
    return found?.uuid;
  }

  async makeDatabase(name: string, place: Place): Promise<void> {
    await this.#run([
      'd1',
      'create',
      name,
      ...flag('--jurisdiction', place.jurisdiction),
      // The platform ignores a location within a jurisdiction.
      ...flag('--location', place.jurisdiction === undefined ? place.location : undefined),
    ]);
  }

  /** Whether the database has signing keys: these open with the key that sealed them, and with no other. */
  async hasSigningKeys(): Promise<boolean> {
    const isThere = `SELECT count(*) AS n FROM sqlite_master WHERE type = 'table' AND name = 'signing_keys'`;
    return (
      (await this.#count(isThere)) > 0 && (await this.#count('SELECT count(*) AS n FROM signing_keys')) > 0
    );
  }

  /** Makes sure that a queue is there and keeps its messages for 14 days. @returns whether it was made */
  async provideQueue(name: string, { jurisdiction }: Place): Promise<boolean> {
    const retention = ['--message-retention-period-secs', String(RETENTION_SECONDS)];
    const info = await this.#call(['queues', 'info', name]);
    if (info.status !== 0) {
      if (!info.stderr.includes(`Queue "${name}" does not exist`))
        throw failed(['queues', 'info', name], info);
      await this.#run(['queues', 'create', name, ...retention, ...flag('--jurisdiction', jurisdiction)]);
      return true;
    }
    const known = /^Jurisdiction: (\S*)$/m.exec(info.stdout)?.[1];
    checkJurisdiction(`the queue ${name}`, known, jurisdiction);
    await this.#run(['queues', 'update', name, ...retention]);
    return false;
  }

  /** The names of the secrets that the Worker has; none while there is no such Worker. */
  async secretsOf(worker: string): Promise<readonly string[]> {
    const args = ['secret', 'list', '--name', worker, '--format', 'json'];
    const answer = await this.#call(args);
    if (answer.status === 0)
      return parse(Secrets, 'wrangler secret list', answer.stdout).map(({ name }) => name);
    if (answer.stderr.includes(`Worker "${worker}" not found`)) return [];
    throw failed(args, answer);
  }

  async migrate(binding: string): Promise<void> {
    await this.#run(['d1', 'migrations', 'apply', binding, '--remote']);
  }

  /** @param secrets a file with secrets that the Worker does not have. Those that it has stay */
  async deploy(secrets?: string): Promise<{ readonly targets: readonly string[] }> {
    const { stdout } = await this.#run(['deploy', ...flag('--secrets-file', secrets)]);
    const [, listed = ''] = /^Deployed \S+ triggers.*\n((?: {2}.*\n?)*)/m.exec(stdout) ?? [];
    return { targets: listed.split('\n').flatMap((line) => line.trim() || []) };
  }

  /** Builds the Worker and checks its configuration; reaches no account. */
  async rehearse(outdir: string): Promise<string> {
    return (await this.#run(['deploy', '--dry-run', '--outdir', outdir])).stdout;
  }

  async #count(query: string): Promise<number> {
    const { stdout } = await this.#run(['d1', 'execute', 'DB', '--remote', '--json', '--command', query]);
    return parse(Rows, 'wrangler d1 execute', stdout)[0].results[0].n;
  }

  async #run(args: readonly string[]): Promise<Answer> {
    const answer = await this.#call(args);
    if (answer.status !== 0) throw failed(args, answer);
    return answer;
  }

  #call(args: readonly string[]): Promise<Answer> {
    return this.#wrangler([...args, '--config', this.#configuration]);
  }
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}

/** @param actual `undefined` when wrangler does not say */
function checkJurisdiction(
  what: string,
  actual: string | null | undefined,
  wanted: string | undefined,
): void {
  if (actual === undefined || (actual ?? '') === (wanted ?? '')) return;
  throw new Refused(
    `${what} has jurisdiction ${actual || 'none'}, and the deployment has ${wanted ?? 'none'}. A jurisdiction never changes (docs/residency.md): repair deployments/, or choose another --name.`,
  );
}

function failed(args: readonly string[], { stdout, stderr }: Answer): Refused {
  const said = `${stderr}\n${stdout}`.trim().split('\n').slice(0, 12).join('\n');
  const isStranger = /CLOUDFLARE_API_TOKEN|not authenticated|Authentication error|code: 10000/.test(said);
  const help = isStranger
    ? '\nSign in first: npx wrangler login. In a pipeline set CLOUDFLARE_API_TOKEN.'
    : '';
  return new Refused(`wrangler ${args.slice(0, 3).join(' ')} failed:\n${said}${help}`);
}

/** What wrangler printed as JSON. It may print lines before it. */
function parse<Schema extends z.ZodType>(schema: Schema, command: string, stdout: string): z.infer<Schema> {
  try {
    return schema.parse(JSON.parse(stdout.slice(stdout.search(/^[[{]/m))));
  } catch {
    throw new Refused(`${command} printed something that this version of the script does not understand.`);
  }
}
