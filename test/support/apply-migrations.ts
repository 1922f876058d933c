/** Applies the migrations to D1 before the tests of each file, and holds the clock for each test. */
import { applyD1Migrations } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach } from 'vitest';
import { holdClock } from './clock.ts';

await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
// A test must not depend on the speed of the machine: no alarm rings and no limit passes unless the test says so.
beforeEach(() => void holdClock());
