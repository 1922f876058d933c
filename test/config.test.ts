import { describe, expect, it } from 'vitest';
import { ConfigError, readConfig } from '../src/config.ts';
import type { Env } from '../src/env.ts';

const key = (byte: number) => btoa(String.fromCharCode(byte).repeat(32));
const bytes = (byte: number) => new Uint8Array(32).fill(byte);

const required = {
  BASE_URL: 'https://webhooks.acme.test',
  KEY_ENCRYPTION_KEY: key(1),
  TOKEN_SIGNING_KEY: key(2),
};

/** Reads a new object each time, because readConfig remembers its result for each object. */
const read = (variables: Record<string, unknown>) =>
  readConfig({ ...required, ...variables } as Partial<Env> as Env);

function failureOf(variables: Record<string, unknown>): ConfigError {
  try {
    read(variables);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

/** The variables that a failure names, in order. */
const namedBy = (error: ConfigError) => error.faults.map((fault) => fault.split(' ')[0]);

const DEFAULTS = {
  namePrefix: '',
  cell: {},
  baseUrl: 'https://webhooks.acme.test',
  captureDomain: 'us.janraincapture.com',
  userAgent: 'identity-webhooks/3.0',
  retryDelaysMs: [3000, 30_000, 300_000, 3_600_000, 86_400_000],
  attemptTimeoutMs: 10_000,
  redeliverIntervalMs: 60_000,
  exportIntervalMs: 86_400_000,
  retentionMs: 7 * 86_400_000,
  keyRotationMs: 90 * 86_400_000,
  maxSubscriptions: 1000,
  allowPrivateEndpoints: false,
  verifyEndpoints: false,
  logLevel: 'info',
  traceRequests: false,
  consoleFrameAncestors: "'none'",
  keyEncryptionKey: bytes(1),
  tokenSigningKey: bytes(2),
};

describe('the configuration', () => {
  it('the configuration has the documented defaults', () => {
    expect(read({})).toEqual(DEFAULTS);
  });

  it('an empty variable counts as one that is not set', () => {
    const optional = [
      'NAME_PREFIX',
      'JURISDICTION',
      'LOCATION_HINT',
      'CAPTURE_DOMAIN',
      'USER_AGENT',
      'RETRY_DELAYS_SECONDS',
      'ATTEMPT_TIMEOUT_SECONDS',
      'REDELIVER_INTERVAL_SECONDS',
      'EXPORT_INTERVAL_SECONDS',
      'RETENTION_DAYS',
      'KEY_ROTATION_DAYS',
      'MAX_SUBSCRIPTIONS',
      'ALLOW_PRIVATE_ENDPOINTS',
      'VERIFY_ENDPOINTS',
      'LOG_LEVEL',
      'TRACE_REQUESTS',
      'OPERATOR_TOKEN',
      'KEY_ENCRYPTION_KEY_PREVIOUS',
    ];
    expect(read(Object.fromEntries(optional.map((name) => [name, ''])))).toEqual(DEFAULTS);
  });

  it('the configuration is parsed once for an environment', () => {
    const env = { ...required } as Partial<Env> as Env;
    expect(readConfig(env)).toBe(readConfig(env));
  });

  it.each<[string, string, Record<string, unknown>]>([
    ['NAME_PREFIX', 'prod-', { namePrefix: 'prod-' }],
    ['NAME_PREFIX', `e${'u'.repeat(30)}-`, { namePrefix: `e${'u'.repeat(30)}-` }],
    ['JURISDICTION', 'eu', { cell: { jurisdiction: 'eu' } }],
    ['LOCATION_HINT', 'weur', { cell: { locationHint: 'weur' } }],
    ['BASE_URL', 'http://127.0.0.1:8787', { baseUrl: 'http://127.0.0.1:8787' }],
    ['BASE_URL', 'https://acme.test/base/', { baseUrl: 'https://acme.test/base' }],
    ['CAPTURE_DOMAIN', 'eu.janraincapture.com', { captureDomain: 'eu.janraincapture.com' }],
    ['USER_AGENT', 'acme hooks/1', { userAgent: 'acme hooks/1' }],
    ['RETRY_DELAYS_SECONDS', '1,1,1,1,1', { retryDelaysMs: [1000, 1000, 1000, 1000, 1000] }],
    ['RETRY_DELAYS_SECONDS', ' 0 , 604800 ', { retryDelaysMs: [0, 604_800_000] }],
    ['ATTEMPT_TIMEOUT_SECONDS', '1', { attemptTimeoutMs: 1000 }],
    ['REDELIVER_INTERVAL_SECONDS', '0', { redeliverIntervalMs: 0 }],
    ['EXPORT_INTERVAL_SECONDS', '5', { exportIntervalMs: 5000 }],
    ['RETENTION_DAYS', '2', { retentionMs: 2 * 86_400_000 }],
    ['RETENTION_DAYS', '28', { retentionMs: 28 * 86_400_000 }],
    ['KEY_ROTATION_DAYS', '30', { keyRotationMs: 30 * 86_400_000 }],
    ['MAX_SUBSCRIPTIONS', '5', { maxSubscriptions: 5 }],
    ['ALLOW_PRIVATE_ENDPOINTS', 'false', { allowPrivateEndpoints: false }],
    ['VERIFY_ENDPOINTS', 'true', { verifyEndpoints: true }],
    ['LOG_LEVEL', 'debug', { logLevel: 'debug' }],
    ['TRACE_REQUESTS', 'true', { traceRequests: true }],
    ['SECURITY_CONTACT', 'mailto:a@example.com', { securityContact: 'mailto:a@example.com' }],
    ['SECURITY_CONTACT', 'https://example.com/report', { securityContact: 'https://example.com/report' }],
    ['CONSOLE_FRAME_ANCESTORS', "'none'", { consoleFrameAncestors: "'none'" }],
    ...["'self'", "'self' https://admin.acme.test:8443", 'https://*.acme.test'].map(
      (text): [string, string, Record<string, unknown>] => [
        'CONSOLE_FRAME_ANCESTORS',
        text,
        { consoleFrameAncestors: text },
      ],
    ),
    ['OPERATOR_TOKEN', 'sixteen letters.', { operatorToken: 'sixteen letters.' }],
    ['KEY_ENCRYPTION_KEY_PREVIOUS', key(3), { keyEncryptionKeyPrevious: bytes(3) }],
  ])('%s may be %s', (name, value, expected) => {
    expect(read({ [name]: value })).toEqual({ ...DEFAULTS, ...expected });
  });

  it('ALLOW_PRIVATE_ENDPOINTS is accepted when BASE_URL is not https', () => {
    const config = read({ BASE_URL: 'http://127.0.0.1:8787', ALLOW_PRIVATE_ENDPOINTS: 'true' });
    expect(config.allowPrivateEndpoints).toBe(true);
  });
});

describe('a bad value of a variable', () => {
  it.each<[string, unknown[]]>([
    [
      'BASE_URL',
      [
        'webhooks.acme.test',
        'https://webhooks.example.com',
        'https://example.com',
        'http://EXAMPLE.org.',
        'https://canary.example.net/base',
        'ftp://canary.example',
        'https://user:canary@x.example',
        'https://x.example?canary',
        'https://x.example#canary',
        'javascript:canary',
      ],
    ],
    ['NAME_PREFIX', ['canary', '-', 'Canary-', '4canary-', 'canary_-', `${'x'.repeat(32)}-`]],
    ['JURISDICTION', ['canary', 'EU', 'fedramp-high']],
    ['LOCATION_HINT', ['canary', 'WEUR', 'eu']],
    ['CAPTURE_DOMAIN', ['canary domain', 'https://canary', 'x'.repeat(254)]],
    ['USER_AGENT', ['canary\nx: y', 'canary é', 'x'.repeat(201)]],
    [
      'RETRY_DELAYS_SECONDS',
      ['3,,30', '3;30', '-3', '1.5', '604801', 'canary', Array(21).fill('1').join(',')],
    ],
    ['ATTEMPT_TIMEOUT_SECONDS', ['0', '61', '1.5', '-1', '10s', ' 10', '1e1']],
    ['REDELIVER_INTERVAL_SECONDS', ['-1', 'canary', '86401']],
    ['EXPORT_INTERVAL_SECONDS', ['-1', 'canary', '604801']],
    ['RETENTION_DAYS', ['0', '1', '29', 'canary']],
    ['KEY_ROTATION_DAYS', ['0', '3651', 'canary']],
    ['MAX_SUBSCRIPTIONS', ['0', '100001', 'canary']],
    ['ALLOW_PRIVATE_ENDPOINTS', ['yes', 'TRUE', '1']],
    ['VERIFY_ENDPOINTS', ['yes', 'TRUE', '1']],
    ['LOG_LEVEL', ['warn', 'INFO', 'canary']],
    ['TRACE_REQUESTS', ['yes', 'TRUE', '1']],
    [
      'SECURITY_CONTACT',
      [
        'security@example.com',
        'http://example.com',
        'mailto:a@b\nContact: mailto:c@d',
        `https://${'a'.repeat(300)}`,
      ],
    ],
    [
      'CONSOLE_FRAME_ANCESTORS',
      [
        'admin.canary.test',
        'http://admin.canary.test',
        'https://admin.canary.test/',
        'https://*:443',
        "'self'; script-src *",
        "'none' 'self'",
        '*',
        'wss://canary.test',
        "'self'  'self'",
        Array(21).fill("'self'").join(' '),
      ],
    ],
    ['OPERATOR_TOKEN', ['short canary', 'fifteen letters']],
    ['KEY_ENCRYPTION_KEY', ['canary', btoa('canary'), btoa('x'.repeat(33)), 'not base64 canary!!']],
    ['KEY_ENCRYPTION_KEY_PREVIOUS', ['canary', btoa('x'.repeat(31))]],
    ['TOKEN_SIGNING_KEY', ['canary', btoa('x'.repeat(16))]],
  ])('a bad value of %s is named and never shown', (name, values) => {
    for (const value of values) {
      const error = failureOf({ [name]: value });
      expect(namedBy(error), String(value)).toEqual([name]);
      const shown = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
      expect(shown).not.toContain('canary');
      if (String(value).length > 5) expect(shown).not.toContain(value);
    }
  });

  it.each(['BASE_URL', 'KEY_ENCRYPTION_KEY', 'TOKEN_SIGNING_KEY'])('%s is required', (name) => {
    for (const value of [undefined, '']) {
      const error = failureOf({ [name]: value });
      expect(namedBy(error)).toEqual([name]);
      expect(error.message).toContain('is required');
    }
  });

  it('JURISDICTION is refused while BASE_URL is http, because the local runtime has none', () => {
    const error = failureOf({ BASE_URL: 'http://127.0.0.1:8787', JURISDICTION: 'eu' });
    expect(namedBy(error)).toEqual(['JURISDICTION']);
  });

  it('all bad values are named together', () => {
    const error = failureOf({
      BASE_URL: undefined,
      RETENTION_DAYS: '1',
      LOG_LEVEL: 'loud',
      TOKEN_SIGNING_KEY: 'x',
    });
    expect(namedBy(error).sort()).toEqual(['BASE_URL', 'LOG_LEVEL', 'RETENTION_DAYS', 'TOKEN_SIGNING_KEY']);
    expect(error.message).toContain('; ');
  });

  it('a bad value is reported at every call', () => {
    const env = { ...required, LOG_LEVEL: 'loud' } as Partial<Env> as Env;
    expect(() => readConfig(env)).toThrow(ConfigError);
    expect(() => readConfig(env)).toThrow(ConfigError);
  });
});

describe('private endpoints on a service with https', () => {
  it.each(['https://webhooks.acme.test', 'HTTPS://webhooks.acme.test', ' https://webhooks.acme.test'])(
    'ALLOW_PRIVATE_ENDPOINTS is refused when BASE_URL is %j',
    (BASE_URL) => {
      const error = failureOf({ BASE_URL, ALLOW_PRIVATE_ENDPOINTS: 'true' });
      expect(error.message).toMatch(/ALLOW_PRIVATE_ENDPOINTS|BASE_URL/);
    },
  );
});
