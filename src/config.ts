/**
 * Configuration: the variables and secrets of contract 10.6, parsed once per isolate into a `Config`.
 *
 * A bad value is never guessed around: `readConfig` throws a `ConfigError` that names the variable and what it
 * wants (and never shows the value, which may be a secret). HTTP then answers 500, queue messages are put back.
 */
import { z } from 'zod';
import { leaseFault } from './domain/leases.ts';
import type { Env } from './env.ts';

/** Everything the service can be told. Durations carry their unit; URLs have no trailing slash. */
export interface Config {
  readonly baseUrl: string;
  readonly captureDomain: string;
  readonly userAgent: string;
  /** Waits after each failed attempt, in milliseconds; one more attempt than there are waits. */
  readonly retryDelaysMs: readonly number[];
  readonly attemptTimeoutMs: number;
  readonly redeliverIntervalMs: number;
  readonly exportIntervalMs: number;
  readonly retentionMs: number;
  readonly keyRotationMs: number;
  readonly maxSubscriptions: number;
  readonly allowPrivateEndpoints: boolean;
  readonly logLevel: 'debug' | 'info';
  /** Absent: there is no operator API (contract 10.2). */
  readonly operatorToken?: string;
  /** 32 bytes; wraps private signing keys. */
  readonly keyEncryptionKey: Uint8Array;
  /** 32 bytes; still unwraps what an earlier key wrapped. */
  readonly keyEncryptionKeyPrevious?: Uint8Array;
  /** 32 bytes; signs access tokens. */
  readonly tokenSigningKey: Uint8Array;
}

/** Thrown by `readConfig`; `faults` has a line for every variable that is wrong. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(`configuration: ${faults.join('; ')}`);
    this.faults = faults;
  }
}

const DAY_MS = 86_400_000;

const wholeNumber = (unit: string, min: number, max: number, fallback: number) =>
  z
    .string()
    .default(String(fallback))
    .refine((text) => /^\d{1,12}$/.test(text) && Number(text) >= min && Number(text) <= max, {
      error: `wants a whole number of ${unit} from ${min} to ${max}`,
    })
    .transform(Number);

const baseUrl = z
  .string({ error: 'is required: the public URL of this service, e.g. https://webhooks.example.com' })
  .refine(
    (text) => {
      if (/\s/.test(text) || !URL.canParse(text)) return false;
      const url = new URL(text);
      const plain = !url.username && !url.password && !url.search && !url.hash;
      return plain && (url.protocol === 'https:' || url.protocol === 'http:');
    },
    { error: 'wants an http(s) URL without user, query or fragment' },
  )
  // One spelling everywhere: it stands in `iss` and `jku` of every token.
  .transform((text) => new URL(text).href.replace(/\/+$/, ''));

const retryDelays = z
  .string()
  .default('3,30,300,3600,86400')
  .refine(
    (text) => {
      const parts = text.split(',').map((part) => part.trim());
      return parts.length <= 20 && parts.every((part) => /^\d{1,6}$/.test(part) && Number(part) <= 604_800);
    },
    { error: 'wants 1 to 20 waits in whole seconds, each at most 604800, separated by commas' },
  )
  .transform((text) => text.split(',').map((part) => Number(part.trim()) * 1000));

const key32 = z
  .string({ error: 'is required: 32 random bytes in base64' })
  .refine((text) => decodeBase64(text)?.length === 32, { error: 'wants 32 bytes in base64' })
  .transform((text) => decodeBase64(text) as Uint8Array);

const Variables = z.object({
  BASE_URL: baseUrl,
  CAPTURE_DOMAIN: z
    .string()
    .regex(/^[A-Za-z0-9.-]{1,253}$/, { error: 'wants a host name' })
    .default('us.janraincapture.com'),
  USER_AGENT: z
    .string()
    .regex(/^[\x20-\x7e]{1,200}$/, { error: 'wants 1 to 200 printable ASCII characters' })
    .default('identity-webhooks/3.0'),
  RETRY_DELAYS_SECONDS: retryDelays,
  ATTEMPT_TIMEOUT_SECONDS: wholeNumber('seconds', 1, 60, 10),
  REDELIVER_INTERVAL_SECONDS: wholeNumber('seconds', 0, 86_400, 60),
  EXPORT_INTERVAL_SECONDS: wholeNumber('seconds', 0, 604_800, 86_400),
  RETENTION_DAYS: wholeNumber('days', 2, 28, 7),
  KEY_ROTATION_DAYS: wholeNumber('days', 1, 3650, 90),
  MAX_SUBSCRIPTIONS: wholeNumber('subscriptions', 1, 100_000, 1000),
  ALLOW_PRIVATE_ENDPOINTS: z.enum(['true', 'false'], { error: 'wants true or false' }).default('false'),
  LOG_LEVEL: z.enum(['debug', 'info'], { error: 'wants debug or info' }).default('info'),
  OPERATOR_TOKEN: z.string().min(16, { error: 'wants at least 16 characters' }).optional(),
  KEY_ENCRYPTION_KEY: key32,
  KEY_ENCRYPTION_KEY_PREVIOUS: key32.optional(),
  TOKEN_SIGNING_KEY: key32,
});

const parsed = new WeakMap<Env, Config | ConfigError>();

/**
 * The configuration of this deployment; parsed at the first call, remembered for the isolate.
 * @throws {ConfigError} naming every variable that is wrong.
 */
export function readConfig(env: Env): Config {
  let result = parsed.get(env);
  if (result === undefined) {
    result = parseConfig(env);
    parsed.set(env, result);
  }
  if (result instanceof ConfigError) throw result;
  return result;
}

function parseConfig(env: Env): Config | ConfigError {
  const result = Variables.safeParse(withoutEmpty(env));
  if (!result.success) {
    return new ConfigError(result.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`));
  }
  const vars = result.data;
  if (vars.ALLOW_PRIVATE_ENDPOINTS === 'true' && vars.BASE_URL.startsWith('https:')) {
    // Contract 3.3: for development and tests only.
    return new ConfigError(['ALLOW_PRIVATE_ENDPOINTS must not be true while BASE_URL is https']);
  }
  const lease = leaseFault(vars.ATTEMPT_TIMEOUT_SECONDS * 1000);
  if (lease !== undefined) return new ConfigError([`ATTEMPT_TIMEOUT_SECONDS is beyond the leases: ${lease}`]);
  return {
    baseUrl: vars.BASE_URL,
    captureDomain: vars.CAPTURE_DOMAIN,
    userAgent: vars.USER_AGENT,
    retryDelaysMs: vars.RETRY_DELAYS_SECONDS,
    attemptTimeoutMs: vars.ATTEMPT_TIMEOUT_SECONDS * 1000,
    redeliverIntervalMs: vars.REDELIVER_INTERVAL_SECONDS * 1000,
    exportIntervalMs: vars.EXPORT_INTERVAL_SECONDS * 1000,
    retentionMs: vars.RETENTION_DAYS * DAY_MS,
    keyRotationMs: vars.KEY_ROTATION_DAYS * DAY_MS,
    maxSubscriptions: vars.MAX_SUBSCRIPTIONS,
    allowPrivateEndpoints: vars.ALLOW_PRIVATE_ENDPOINTS === 'true',
    logLevel: vars.LOG_LEVEL,
    ...(vars.OPERATOR_TOKEN === undefined ? {} : { operatorToken: vars.OPERATOR_TOKEN }),
    keyEncryptionKey: vars.KEY_ENCRYPTION_KEY,
    ...(vars.KEY_ENCRYPTION_KEY_PREVIOUS === undefined
      ? {}
      : { keyEncryptionKeyPrevious: vars.KEY_ENCRYPTION_KEY_PREVIOUS }),
    tokenSigningKey: vars.TOKEN_SIGNING_KEY,
  };
}

/** A variable set to the empty string counts as not set. */
function withoutEmpty(env: Env): Record<string, unknown> {
  return Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''));
}

function decodeBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
