import { join } from 'node:path';
import { cloudflareTest, readD1Migrations } from '@cloudflare/vitest-pool-workers';
import { defineConfig } from 'vitest/config';

/** A key of 32 equal bytes, for tests only. */
const key = (byte: number) => Buffer.alloc(32, byte).toString('base64');

/** Ends a test that hangs; far above what any test takes on a machine that is ten times slower. */
const SAFETY_NET_MS = 600_000;

/** Tests of event stores and of the path of an event. */
const STORES = [
  'test/delivery/**/*.test.ts',
  'test/event-store/**/*.test.ts',
  'test/host-limit/**/*.test.ts',
];

/** Tests inside workerd. Files of a project share a runtime and its storage, so each test makes its own customers. */
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
      // Test files share a runtime and its storage, so each test makes its own customers.
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
    projects: [
      // Two runtimes, so that the tests use two cores.
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
          // Files that start the service mostly wait for it. By itself vitest takes one worker of two cores.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
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
          // Both cores, after the other projects.
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
          testTimeout: SAFETY_NET_MS,
          hookTimeout: SAFETY_NET_MS,
        },
      },
      {
        // Tests that only read files; `npm run check` runs them.
        test: { name: 'structure', include: ['test/structure/**/*.test.ts'] },
      },
    ],
  },
}));
