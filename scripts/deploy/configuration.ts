/**
 * The configuration of one deployment, made from a wrangler.toml: every name in it gets the prefix of the deployment. So an
 * account can have several, for tests and for regions, and none shares a queue, a database or a rate limit with another.
 */
import { createHash } from 'node:crypto';
import { dirname, join, relative, resolve } from 'node:path';
import type { Place } from './account.ts';
import { Refused } from './refused.ts';
import type { Settings } from './settings.ts';

/** The parts of a wrangler.toml that a deployment changes. */
export interface RawConfig {
  readonly name?: string;
  readonly main?: string;
  readonly alias?: Readonly<Record<string, string>>;
  readonly workers_dev?: boolean;
  readonly routes?: unknown;
  readonly vars?: Readonly<Record<string, string>>;
  readonly durable_objects?: { readonly bindings?: readonly { readonly class_name: string }[] };
  readonly d1_databases?: readonly Database[];
  readonly queues?: {
    readonly producers?: readonly { readonly queue: string }[];
    readonly consumers?: readonly { readonly queue: string; readonly dead_letter_queue?: string }[];
  };
  readonly ratelimits?: readonly { readonly namespace_id: string }[];
  readonly services?: readonly { readonly service: string }[];
  readonly assets?: { readonly directory?: string };
  readonly placement?: object;
}

interface Database {
  readonly binding: string;
  readonly database_name: string;
  readonly database_id?: string;
  readonly migrations_dir?: string;
}

export interface Deployment {
  /** The name on the command line; absent: the names of wrangler.toml as they are. */
  readonly name: string | undefined;
  /** Where wrangler.toml is. */
  readonly source: string;
  readonly raw: RawConfig;
  readonly settings: Settings;
}

const NO_ID = '00000000-0000-0000-0000-000000000000';
/** Namespaces of one wrangler.toml are 1000 to 1099. */
const NAMESPACES_EACH = 100;
/** Keeps every number below 2^31. */
const NAMESPACE_BLOCKS = 20_000_000;

/** The name of a deployment: it begins all other names, so it is short. */
export function checkName(name: string): string {
  if (!/^[a-z]([a-z0-9-]{0,28}[a-z0-9])?$/.test(name) || name === 'default') {
    throw new Refused(
      '--name must have 1 to 30 of a-z, 0-9 and -, with a letter first, and not be "default".',
    );
  }
  return name;
}

export const prefixOf = ({ name }: Pick<Deployment, 'name'>) => (name === undefined ? '' : `${name}-`);

export const workerOf = (deployment: Deployment) => `${prefixOf(deployment)}${deployment.raw.name}`;

/** Whether this is the service; any other Worker only uses it. */
export const isService = ({ raw }: Deployment) =>
  raw.durable_objects?.bindings?.some(({ class_name }) => class_name === 'EventStore') ?? false;

/** Where the database and the queues are made. */
export function placeOf({ raw, settings }: Deployment): Place {
  const inToml = raw.vars?.['JURISDICTION'];
  const jurisdiction = settings.jurisdiction ?? (inToml === '' ? undefined : inToml);
  return { jurisdiction, location: settings.location };
}

/** The region of a cloud near each place: the platform takes no place of its own here. */
const REGIONS: Readonly<Record<string, string>> = {
  wnam: 'aws:us-west-2',
  enam: 'aws:us-east-1',
  weur: 'aws:eu-central-1',
  eeur: 'gcp:europe-central2',
  apac: 'aws:ap-southeast-1',
  oc: 'aws:ap-southeast-2',
};

/** The same for jurisdictions. The database may be anywhere in one, so these are in the middle. */
const REGIONS_OF_JURISDICTIONS: Readonly<Record<string, string>> = {
  eu: 'aws:eu-central-1',
  us: 'aws:us-east-2',
  fedramp: 'aws:us-east-2',
};

/**
 * Where requests are served: near the database. Somebody who knows its place better says so; where nobody knows it, wrangler.toml decides.
 */
function placementOf(deployment: Deployment): object | undefined {
  const { raw, settings } = deployment;
  const { jurisdiction, location } = placeOf(deployment);
  const region =
    settings.placement ??
    REGIONS[location ?? raw.vars?.['LOCATION_HINT'] ?? ''] ??
    REGIONS_OF_JURISDICTIONS[jurisdiction ?? ''];
  if (region === undefined) return raw.placement;
  return region === 'smart' || region === 'off' ? { mode: region } : { region };
}

/** The database that has to be there. `id`: from wrangler.toml, when it has one that is meant. */
export function databaseOf(deployment: Deployment): { name: string; id?: string } | undefined {
  const database = deployment.raw.d1_databases?.[0];
  if (database === undefined) return undefined;
  const { database_name, database_id } = database;
  const isMeant = deployment.name === undefined && database_id !== undefined && database_id !== NO_ID;
  return { name: prefixOf(deployment) + database_name, ...(isMeant ? { id: database_id } : {}) };
}

/** The queues that have to be there, dead letter queues first. */
export function queuesOf(deployment: Deployment): string[] {
  const { producers = [], consumers = [] } = deployment.raw.queues ?? {};
  const deadLetters = consumers.flatMap(({ dead_letter_queue }) => dead_letter_queue ?? []);
  const all = new Set([...deadLetters, ...[...producers, ...consumers].map(({ queue }) => queue)]);
  return [...all].map((queue) => prefixOf(deployment) + queue);
}

/** Where the service answers. @throws Refused for a placeholder: every token would name it as its issuer */
export function baseUrlOf({ raw, settings }: Deployment): string {
  const atDomain = settings.domain === undefined ? undefined : `https://${settings.domain}`;
  const baseUrl = (settings.baseUrl ?? atDomain ?? raw.vars?.['BASE_URL'] ?? '').replace(/\/+$/, '');
  if (!URL.canParse(baseUrl) || !baseUrl.startsWith('https://') || isPlaceholder(new URL(baseUrl).hostname)) {
    throw new Refused(
      `BASE_URL is ${JSON.stringify(baseUrl)}, which is a placeholder, and every token contains it. Say where the service answers: --domain webhooks.your.domain (a zone of your account), or --base-url https://{Worker}.{your subdomain}.workers.dev.`,
    );
  }
  return baseUrl;
}

/** Names that RFC 2606 and RFC 6761 keep for examples, and that no deployment can have. */
function isPlaceholder(hostname: string): boolean {
  return /(^|\.)(example\.(com|net|org)|example|test|invalid|localhost)$/.test(hostname.replace(/\.$/, ''));
}

/**
 * The configuration that wrangler gets.
 * @param target where it will be written: its paths are relative to that
 * @param databaseId absent while the database is not made
 */
export function configurationOf(deployment: Deployment, target: string, databaseId?: string): object {
  const { raw, source, settings } = deployment;
  const prefix = prefixOf(deployment);
  const moved = (path: string) =>
    relative(dirname(target), resolve(dirname(source), path)).replaceAll('\\', '/');
  const { producers = [], consumers = [] } = raw.queues ?? {};
  // The build step prepares a local state; the schema is for editors.
  const { $schema: _, build: __, ...rest } = raw as RawConfig & { $schema?: string; build?: unknown };
  return {
    ...rest,
    name: workerOf(deployment),
    ...(raw.main === undefined ? {} : { main: moved(raw.main) }),
    ...(raw.alias === undefined
      ? {}
      : { alias: Object.fromEntries(Object.entries(raw.alias).map(([name, path]) => [name, moved(path)])) }),
    ...(raw.assets?.directory === undefined
      ? {}
      : { assets: { ...raw.assets, directory: moved(raw.assets.directory) } }),
    ...(settings.domain === undefined || !isService(deployment)
      ? {}
      : { workers_dev: false, routes: [{ pattern: settings.domain, custom_domain: true }] }),
    ...(raw.d1_databases === undefined
      ? {}
      : { d1_databases: raw.d1_databases.map((one) => databaseIn(one, prefix, databaseId, moved)) }),
    queues: {
      producers: producers.map((one) => ({ ...one, queue: prefix + one.queue })),
      consumers: consumers.map((one) => ({
        ...one,
        queue: prefix + one.queue,
        ...(one.dead_letter_queue === undefined ? {} : { dead_letter_queue: prefix + one.dead_letter_queue }),
      })),
    },
    ...(raw.ratelimits === undefined
      ? {}
      : {
          ratelimits: raw.ratelimits.map((one) => ({
            ...one,
            namespace_id: namespaceIn(one.namespace_id, deployment.name),
          })),
        }),
    ...(raw.services === undefined
      ? {}
      : { services: raw.services.map((one) => ({ ...one, service: prefix + one.service })) }),
    ...(isService(deployment) ? { vars: variablesOf(deployment), placement: placementOf(deployment) } : {}),
  };
}

function databaseIn(
  { database_id: _, ...database }: Database,
  prefix: string,
  databaseId: string | undefined,
  moved: (path: string) => string,
): object {
  return {
    ...database,
    database_name: prefix + database.database_name,
    ...(databaseId === undefined ? {} : { database_id: databaseId }),
    migrations_dir: moved(database.migrations_dir ?? 'migrations'),
  };
}

/** @throws Refused for a name that wrangler.toml does not have, such as that of a secret, and for one that has a setting */
function variablesOf(deployment: Deployment): Record<string, string> {
  const { raw, settings } = deployment;
  const set = {
    NAME_PREFIX: prefixOf(deployment),
    BASE_URL: baseUrlOf(deployment),
    JURISDICTION: placeOf(deployment).jurisdiction ?? '',
    LOCATION_HINT: settings.location ?? raw.vars?.['LOCATION_HINT'] ?? '',
  };
  const wrong = Object.keys(settings.vars ?? {}).filter(
    (name) => name in set || raw.vars?.[name] === undefined,
  );
  if (wrong.length > 0) {
    throw new Refused(
      `vars has ${wrong.join(', ')}. It may have the variables of wrangler.toml, except ${Object.keys(set).join(', ')}, and no secret.`,
    );
  }
  return { ...raw.vars, ...settings.vars, ...set };
}

/** The platform counts by this number for a whole account, so each deployment has numbers of its own. */
function namespaceIn(id: string, name: string | undefined): string {
  if (name === undefined) return id;
  const block = 1 + (createHash('sha256').update(name).digest().readUInt32BE(0) % NAMESPACE_BLOCKS);
  return String(block * NAMESPACES_EACH + (Number(id) % NAMESPACES_EACH));
}

/** Where the files of a deployment are. */
export function filesOf(root: string, deployment: Deployment) {
  const known = join(root, 'deployments', deployment.name ?? 'default');
  const made = join(root, 'dist', 'deploy', workerOf(deployment));
  return {
    settings: `${known}.json`,
    secrets: `${known}.secrets.json`,
    configuration: `${made}.json`,
    upload: `${made}.secrets.json`,
    bundle: `${made}.bundle`,
  };
}
