/**
 * Configuration: the variables and secrets of contract 10.6, parsed once per isolate into a `Config`.
 *
 * `readConfig` never guesses around a bad value: it throws a `ConfigError` that names the variable and says what it must
 * be. It never shows the value, which may be a secret. HTTP then answers 500, and messages are returned to their queue.
 */
import { z } from 'zod';
import { type Cell, JURISDICTIONS, LOCATION_HINTS } from './cell.ts';
import { leaseFault } from './domain/leases.ts';
import type { Env } from './env.ts';

/** Everything that can be configured. */
export interface Config {
  /** What the names of this deployment's queues begin with, such as `prod-`; empty: nothing. */
  readonly namePrefix: string;
  /** Where the Durable Objects are. */
  readonly cell: Cell;
  /** Public URL of the service, without a slash at its end. The issuer and the key URL of every SET begin with it. */
  readonly baseUrl: string;
  /** The host name in the default of an event's `globalSub` (contract 10.1). */
  readonly captureDomain: string;
  /** Sent to listeners. */
  readonly userAgent: string;
  /** The wait after each failed attempt of a run. A run has one attempt more than there are waits. */
  readonly retryDelaysMs: readonly number[];
  /** How long a listener may take to answer. */
  readonly attemptTimeoutMs: number;
  /** Between two accepted redeliveries of one subscription. */
  readonly redeliverIntervalMs: number;
  /** Between two completed exports of one subscription. */
  readonly exportIntervalMs: number;
  /** How long a delivery is kept. */
  readonly retentionMs: number;
  /** How long a key signs before the next one does. */
  readonly keyRotationMs: number;
  /** Subscriptions of one customer. */
  readonly maxSubscriptions: number;
  /** Admits http, any port and private addresses; for development and tests (contract 3.3). */
  readonly allowPrivateEndpoints: boolean;
  /** A new endpoint gets events only after it has answered a test notification (contract 10.8). */
  readonly verifyEndpoints: boolean;
  /** `debug` logs every success in a line of its own. */
  readonly logLevel: 'debug' | 'info';
  /** Queue messages say which request published their events. A version that does not know it refuses such messages (contract 10.5). */
  readonly traceRequests: boolean;
  /** Where to report a fault: a `mailto:` or `https:` URL, for `/.well-known/security.txt` (contract 10.5). */
  readonly securityContact?: string;
  /** Who may show the console in a frame, as a Content-Security-Policy says it (contract 10.15). */
  readonly consoleFrameAncestors: string;
  /** Without it there is no operator API (contract 10.2). */
  readonly operatorToken?: string;
  /** 32 bytes; seals private signing keys. */
  readonly keyEncryptionKey: Uint8Array;
  /** 32 bytes; still opens what an earlier key sealed. */
  readonly keyEncryptionKeyPrevious?: Uint8Array;
  /** 32 bytes; signs access tokens. */
  readonly tokenSigningKey: Uint8Array;
}

/** `readConfig` throws it. `faults` has one line for every variable that is wrong. */
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
      error: `must be a whole number of ${unit} from ${min} to ${max}`,
    })
    .transform(Number);

const baseUrl = z
  .string({ error: 'is required: the public URL of this service, such as https://webhooks.your.domain' })
  .refine(
    (text) => {
      if (/\s/.test(text) || !URL.canParse(text)) return false;
      const url = new URL(text);
      const plain = !url.username && !url.password && !url.search && !url.hash;
      return plain && (url.protocol === 'https:' || url.protocol === 'http:');
    },
    { error: 'must be an http(s) URL without user, query or fragment', abort: true },
  )
  .refine((text) => !isPlaceholder(new URL(text).hostname), {
    error:
      'is a placeholder from an example: it must be the public URL of this service, because every token contains it',
  })
  // One spelling: `iss` and `jku` of every SET contain the URL, and listeners compare them as text.
  .transform((text) => new URL(text).href.replace(/\/+$/, ''));

/** The names that are kept for examples (RFC 2606, section 3): wrangler.toml has one. */
function isPlaceholder(hostname: string): boolean {
  return /(^|\.)example\.(com|net|org)\.?$/.test(hostname);
}

const retryDelays = z
  .string()
  .default('3,30,300,3600,86400')
  .refine(
    (text) => {
      const parts = text.split(',').map((part) => part.trim());
      return parts.length <= 20 && parts.every((part) => /^\d{1,6}$/.test(part) && Number(part) <= 604_800);
    },
    { error: 'must be 1 to 20 waits in whole seconds, each at most 604800, separated by commas' },
  )
  .transform((text) => text.split(',').map((part) => Number(part.trim()) * 1000));

/** It becomes a part of a header, so only sources pass that cannot end the directive. */
const FRAME_ANCESTOR = /^('self'|https:\/\/(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:\d{1,5})?)$/;

const frameAncestors = z
  .string()
  .default("'none'")
  .refine(
    (text) => {
      const sources = text.split(' ');
      return text === "'none'" || (sources.length <= 20 && sources.every((one) => FRAME_ANCESTOR.test(one)));
    },
    {
      error:
        "must be 1 to 20 of 'self' and origins such as https://admin.your.domain or https://*.your.domain, separated by spaces, or 'none'",
    },
  );

const key32 = z
  .string({ error: 'is required: 32 random bytes in base64' })
  .refine((text) => decodeBase64(text)?.length === 32, { error: 'must be 32 bytes in base64' })
  .transform((text) => decodeBase64(text) as Uint8Array);

const Variables = z.object({
  NAME_PREFIX: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,30}-$/, {
      error: 'must be 2 to 32 of a-z, 0-9 and -, with a letter first and a - last',
    })
    .default(''),
  JURISDICTION: z.enum(JURISDICTIONS, { error: `must be one of ${JURISDICTIONS.join(', ')}` }).optional(),
  LOCATION_HINT: z.enum(LOCATION_HINTS, { error: `must be one of ${LOCATION_HINTS.join(', ')}` }).optional(),
  BASE_URL: baseUrl,
  CAPTURE_DOMAIN: z
    .string()
    .regex(/^[A-Za-z0-9.-]{1,253}$/, { error: 'must be a host name' })
    .default('us.janraincapture.com'),
  USER_AGENT: z
    .string()
    .regex(/^[\x20-\x7e]{1,200}$/, { error: 'must be 1 to 200 printable ASCII characters' })
    .default('identity-webhooks/3.0'),
  RETRY_DELAYS_SECONDS: retryDelays,
  ATTEMPT_TIMEOUT_SECONDS: wholeNumber('seconds', 1, 60, 10),
  REDELIVER_INTERVAL_SECONDS: wholeNumber('seconds', 0, 86_400, 60),
  EXPORT_INTERVAL_SECONDS: wholeNumber('seconds', 0, 604_800, 86_400),
  RETENTION_DAYS: wholeNumber('days', 2, 28, 7),
  KEY_ROTATION_DAYS: wholeNumber('days', 1, 3650, 90),
  MAX_SUBSCRIPTIONS: wholeNumber('subscriptions', 1, 100_000, 1000),
  ALLOW_PRIVATE_ENDPOINTS: z.enum(['true', 'false'], { error: 'must be true or false' }).default('false'),
  VERIFY_ENDPOINTS: z.enum(['true', 'false'], { error: 'must be true or false' }).default('false'),
  LOG_LEVEL: z.enum(['debug', 'info'], { error: 'must be debug or info' }).default('info'),
  TRACE_REQUESTS: z.enum(['true', 'false'], { error: 'must be true or false' }).default('false'),
  SECURITY_CONTACT: z
    .string()
    .regex(/^(mailto:[^\s@]+@[^\s@]+|https:\/\/[^\s/]+\S*)$/, {
      error: 'must be a mailto: or https: URL, such as mailto:security@your.domain',
    })
    .max(300, { error: 'must have at most 300 characters' })
    .optional(),
  CONSOLE_FRAME_ANCESTORS: frameAncestors,
  OPERATOR_TOKEN: z.string().min(16, { error: 'must have at least 16 characters' }).optional(),
  KEY_ENCRYPTION_KEY: key32,
  KEY_ENCRYPTION_KEY_PREVIOUS: key32.optional(),
  TOKEN_SIGNING_KEY: key32,
});

/** What was read, kept for the isolate. */
const parsed = new WeakMap<Env, Config | ConfigError>();

/**
 * The configuration of this deployment. The first call parses it, and the isolate keeps the result.
 * @throws ConfigError naming every variable that is wrong
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
    // Private endpoints are for development and tests (contract 3.3).
    return new ConfigError(['ALLOW_PRIVATE_ENDPOINTS must not be true while BASE_URL is https']);
  }
  if (vars.JURISDICTION !== undefined && vars.BASE_URL.startsWith('http:')) {
    // The local runtime refuses each call of an object then; here the fault has a name.
    return new ConfigError([
      'JURISDICTION must not be set while BASE_URL is http: only Cloudflare has jurisdictions',
    ]);
  }
  const lease = leaseFault(vars.ATTEMPT_TIMEOUT_SECONDS * 1000);
  if (lease !== undefined)
    return new ConfigError([`ATTEMPT_TIMEOUT_SECONDS is too long for the leases: ${lease}`]);
  return {
    namePrefix: vars.NAME_PREFIX,
    cell: {
      ...(vars.JURISDICTION === undefined ? {} : { jurisdiction: vars.JURISDICTION }),
      ...(vars.LOCATION_HINT === undefined ? {} : { locationHint: vars.LOCATION_HINT }),
    },
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
    verifyEndpoints: vars.VERIFY_ENDPOINTS === 'true',
    logLevel: vars.LOG_LEVEL,
    traceRequests: vars.TRACE_REQUESTS === 'true',
    ...(vars.SECURITY_CONTACT === undefined ? {} : { securityContact: vars.SECURITY_CONTACT }),
    consoleFrameAncestors: vars.CONSOLE_FRAME_ANCESTORS,
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
