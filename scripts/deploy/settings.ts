/**
 * The choices that an operator makes once for a deployment: `deployments/{name}.json`, which has no secret and belongs into version
 * control, and `deployments/{name}.secrets.json`, which does not.
 *
 * Both are written whole or not at all, so a run that dies leaves no half of a file. The file of secrets is never written
 * over: its key opens what is in the database.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { JURISDICTIONS } from '../../src/cell.ts';
import { writeNew } from '../files.ts';
import { Refused } from './refused.ts';

/** The places that both a D1 database and an event store can be asked to be in. */
const LOCATIONS = ['wnam', 'enam', 'weur', 'eeur', 'apac', 'oc'] as const;

const oneOf = <Names extends readonly [string, ...string[]]>(names: Names) =>
  z.enum(names, { error: `must be one of ${names.join(', ')}` });

const Settings = z.strictObject({
  /** Where the service answers. */
  baseUrl: z.url({ protocol: /^https$/, error: 'must be an https URL' }).optional(),
  /** A host name of a zone of the account. The service answers there, and not on workers.dev. */
  domain: z
    .string()
    .regex(/^(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/, {
      error: 'must be a host name such as webhooks.your.domain',
    })
    .optional(),
  jurisdiction: oneOf(JURISDICTIONS).optional(),
  location: oneOf(LOCATIONS).optional(),
  /** Where requests are served, if not near `location` or `jurisdiction`. */
  placement: z
    .string()
    .regex(/^(smart|off|(aws|gcp|azure):[a-z0-9-]{1,40})$/, {
      error: 'must be smart, off, or a region such as aws:eu-central-1',
    })
    .optional(),
  /** Variables that differ from those of wrangler.toml. */
  vars: z.record(z.string(), z.string()).optional(),
});
export type Settings = z.infer<typeof Settings>;

/** The settings that a command line may give. */
export type Flags = Readonly<Record<'baseUrl' | 'domain' | 'jurisdiction' | 'location', string | undefined>>;

/** The secrets that every deployment needs, and how long each is, in bytes. */
const SECRET_BYTES = { OPERATOR_TOKEN: 24, KEY_ENCRYPTION_KEY: 32, TOKEN_SIGNING_KEY: 32 } as const;
type SecretName = keyof typeof SECRET_BYTES;
export const SECRET_NAMES = Object.keys(SECRET_BYTES) as SecretName[];
const Secrets = z.record(z.string(), z.string());

/**
 * What the file remembers, together with the command line.
 * @throws Refused when the two contradict each other: a deployment that moves by mistake loses its stores or its issuer
 */
export function readSettings(file: string, flags: Flags): Settings {
  const kept = existsSync(file) ? parse(Settings, file, readJson(file)) : {};
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  for (const [name, value] of Object.entries(given)) {
    const before = kept[name as keyof Flags];
    if (existsSync(file) && before !== value) {
      throw new Refused(
        name === 'jurisdiction'
          ? `${file} says jurisdiction ${before ?? 'none'}, and the command line ${value}. A deployment never changes its jurisdiction: every event store would be out of reach (docs/residency.md). Choose another --name.`
          : `${file} says ${name} ${before ?? 'none'}, and the command line ${value}. If you mean to change it, change the file.`,
      );
    }
  }
  const settings = parse(Settings, 'the command line', { ...kept, ...given });
  const { baseUrl, domain } = settings;
  if (baseUrl !== undefined && domain !== undefined && new URL(baseUrl).host !== domain) {
    throw new Refused(`baseUrl ${baseUrl} is not at domain ${domain}: give only one of them.`);
  }
  return settings;
}

/** Remembers the settings. @returns whether they are new */
export function keepSettings(file: string, settings: Settings): boolean {
  return writeNew(file, asText(settings), 0o644);
}

/** The secrets of the file; `undefined` when there is none. */
export function readSecrets(file: string): Readonly<Record<string, string>> | undefined {
  return existsSync(file) ? parse(Secrets, file, readJson(file)) : undefined;
}

/** Makes random secrets with these names, and keeps them in a new file that only its owner can read. */
export function makeSecrets(file: string, names: readonly SecretName[]): Readonly<Record<string, string>> {
  const secrets = Object.fromEntries(
    names.map((name) => [name, randomBytes(SECRET_BYTES[name]).toString('base64')]),
  );
  if (!writeNew(file, asText(secrets), 0o600)) throw new Refused(`${file} appeared meanwhile. Repeat.`);
  return secrets;
}

const asText = (content: unknown) => `${JSON.stringify(content, null, 2)}\n`;

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    // The message of the parser shows a part of the text.
    throw new Refused(`${file} is not JSON.`);
  }
}

function parse<Schema extends z.ZodType>(schema: Schema, source: string, value: unknown): z.infer<Schema> {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const faults = error.issues.map(({ path, message }) => `${path.join('.')} ${message}`.trim());
  throw new Refused(`${source}: ${faults.join('; ')}.`);
}
