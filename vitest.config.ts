import { join } from 'node:path';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-pool-workers';
import { defineConfig } from 'vitest/config';

/** A key of 32 equal bytes, for tests only. */
const key = (byte: number) => Buffer.alloc(32, byte).toString('base64');

/** Ends a test that hangs; far above what any test takes on a machine that is ten times slower. */
const SAFETY_NET_MS = 600_000;

/**
 * Test files that run at the same time, of all projects together, so that both cores of a small machine are busy until the end: the
 * files of the project node, which are the first, mostly wait for what they start. Of two cores vitest by itself uses one.
 */
const FILES_AT_ONCE = 3;

/** Tests of event stores and of the path of an event. */
const STORES = [
  'test/delivery/**/*.test.ts',
  'test/event-store/**/*.test.ts',
  'test/host-limit/**/*.test.ts',
];

/** Tests inside workerd. */
async function insideWorkerd(
  name: string,
  include: readonly string[],
  exclude: readonly string[],
  variables: Readonly<Record<string, string>>,
) {
  return {
    plugins: [
      cloudflareTest({
        wrangler: { configPath: './wrangler.toml' },
        miniflare: {
          bindings: {
            BASE_URL: 'http://webhooks.test',
            ALLOW_PRIVATE_ENDPOINTS: 'true',
            // Longer than a busy machine takes to answer itself. A test of the limit sets its own.
            ATTEMPT_TIMEOUT_SECONDS: '60',
            ...variables,
            OPERATOR_TOKEN: 'operator-token-of-the-tests',
            KEY_ENCRYPTION_KEY: key(1),
            TOKEN_SIGNING_KEY: key(2),
            TEST_MIGRATIONS: await readD1Migrations('./migrations'),
          },
        },
      }),
    ],
    test: {
      name,
      testTimeout: SAFETY_NET_MS,
      hookTimeout: SAFETY_NET_MS,
      // Files run one after another in the same runtime, with its storage, so each test makes its own customers.
      isolate: false,
      include: [...include],
      exclude: [
        'test/browser/**',
        'test/clients/**',
        'test/conformance/**',
        'test/examples/**',
        'test/journey/**',
        'test/model/**',
        'test/scripts/**',
        'test/simulation/**',
        'test/structure/**',
        ...exclude,
      ],
      globalSetup: ['./test/support/start-listener.ts'],
      setupFiles: ['./test/support/apply-migrations.ts'],
    },
  };
}

export default defineConfig(async () => ({
  test: {
    // A snapshot that is missing is a fault, as in CI, and is not written unasked.
    update: 'none' as const,
    maxWorkers: FILES_AT_ONCE,
    projects: [
      await insideWorkerd('workers', ['test/**/*.test.ts'], ['test/verification/**', ...STORES], {}),
      await insideWorkerd('stores', STORES, [], {}),
      // A variable is the same for all parts of a runtime, so the switch needs a runtime of its own.
      await insideWorkerd('verification', ['test/verification/**/*.test.ts'], [], {
        VERIFY_ENDPOINTS: 'true',
      }),
      {
        // The model runs src in Node.
        resolve: {
          alias: { 'cloudflare:workers': `${import.meta.dirname}/tools/model/cloudflare-workers.ts` },
        },
        test: {
          name: 'node',
          include: [
            'test/conformance/**/*.test.ts',
            'test/examples/**/*.test.ts',
            'test/journey/**/*.test.ts',
            'test/model/**/*.test.ts',
            'test/scripts/**/*.test.ts',
            'apps/*/test/**/*.test.ts',
            'packages/*/test/**/*.test.ts',
          ],
          testTimeout: SAFETY_NET_MS,
          hookTimeout: SAFETY_NET_MS,
        },
      },
      {
        // Pages of the console in the Chromium of this machine: `npm run test:browser`. One file at a time, so that one Chromium runs.
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          globalSetup: ['./test/browser/setup.ts'],
          fileParallelism: false,
          testTimeout: SAFETY_NET_MS,
          hookTimeout: SAFETY_NET_MS,
        },
      },
      {
        // Generated clients, and listeners in other languages: made from packages of those languages, so not a part of `npm test`.
        test: {
          name: 'clients',
          include: ['test/clients/**/*.test.ts'],
          testTimeout: SAFETY_NET_MS,
          hookTimeout: SAFETY_NET_MS,
        },
      },
      {
        // The simulation runs in Node, where it can be the platform: `npm run simulate` runs the same lives without vitest.
        resolve: {
          alias: {
            'cloudflare:workers': join(import.meta.dirname, 'test/simulation/platform/cloudflare-workers.ts'),
          },
        },
        test: {
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
          testTimeout: SAFETY_NET_MS,
          hookTimeout: SAFETY_NET_MS,
        },
      },
      {
        // Tests that only read files; `npm run check` runs them.
        test: { name: 'structure', include: ['test/structure/**/*.test.ts'], testTimeout: SAFETY_NET_MS },
      },
    ],
  },
}));
