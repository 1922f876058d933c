/** Checks that no migration is edited: a database that ran it once never runs it again. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { filesOf, read, withoutComments } from './source.ts';

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** Add a line for a new migration; never change one. */
const OF_D1 = {
  'migrations/0001_customers.sql': '75861de81e9abb4a',
  'migrations/0002_subscriptions.sql': '4f2e73c62a35fcc9',
  'migrations/0003_dead_letters.sql': '42bee55b326228bc',
  'migrations/0004_subscription_filters.sql': 'f3722147cff46e27',
  'migrations/0005_signing_key_rotation.sql': '502dca81dad79ee5',
  'migrations/0006_endpoint_health.sql': 'dbab90aede0681fa',
  'migrations/0007_filter_steps.sql': '23e44e19e1d37038',
  'migrations/0013_audit.sql': '090807a56c641340',
  'migrations/0012_blank_tombstones.sql': '9ae8f1aa47008423',
  'migrations/0011_dead_letter_customers.sql': '89e16b7546f4e237',
  'migrations/0014_endpoint_proofs.sql': 'f1f70856137f0f32',
  'migrations/0015_tombstone_indexes.sql': '0e5b669e4b123666',
  'migrations/0016_letters_of_nobody.sql': '4e5a0eb1bbfd4189',
  'migrations/0017_store_fill.sql': '99a630805f730576',
  'migrations/0018_figures.sql': '3e3815bf0fe2a836',
  'migrations/0019_console.sql': '56edc2d17bc0c05a',
  'migrations/0020_notices.sql': '3248f335967b6699',
  'migrations/0021_signing_algorithms.sql': 'c741ba915f285d44',
  'migrations/0022_audience_revision.sql': 'edc91daf85d48516',
  'migrations/0023_shards.sql': 'c84467764920725e',
};

/** In the order of `MIGRATIONS` in src/event-store/schema.ts. */
const OF_EVENT_STORES = [
  '97f68b5c5bb67da4',
  '7289f373729b5c28',
  'ba77cebcf4d4c7e7',
  '8617f0740e8c1871',
  '6709dfc2bca6f379',
  'facdc78640bac4c1',
  '04a5f7b933a80778',
  '29a03cfa892e97b9',
  '424f18907843a375',
  '988bdf82c1fce038',
  '83323bf4de29f67f',
  '68b31d1fff9a69b2',
  '22ee2f83e4bde5e8',
  '2d0456af50dd5fd2',
  'f93f5fe2b14a1978',
  '35b491f96b2da64c',
  '92adb1ef8d9f8608',
  '1d8c3dd32c07310d',
  'e8a2f161891bf941',
  '4983326d92707ff9',
  '488885390bc873a5',
  '9cc78b5c3ee3948f',
  'ed4efff2099a1934',
  'cec0217aab05f56e',
];

describe('migrations', () => {
  it('no migration of D1 was edited, and every one is listed here', () => {
    const hashes = filesOf('migrations/*.sql').map((file) => [file, hashOf(read(file))]);
    expect(Object.fromEntries(hashes)).toEqual(OF_D1);
  });

  it('no migration of the event store was edited, and every one is listed here', () => {
    const schema = withoutComments(read('src/event-store/schema.ts'));
    const list = schema.slice(schema.indexOf('const MIGRATIONS'), schema.indexOf('\n];'));
    const statements = [...list.matchAll(/`([^`]*)`/g)].map(([, sql = '']) => sql);
    expect(statements.map(hashOf)).toEqual(OF_EVENT_STORES);
  });
});
