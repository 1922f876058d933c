import { env } from 'cloudflare:workers';
import { getTableColumns, is } from 'drizzle-orm';
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as schema from '../../src/storage/schema.ts';
import { asOperator } from '../support/world.ts';

interface ColumnInfo {
  readonly name: string;
  readonly type: string;
  readonly notnull: number;
  readonly pk: number;
}

const tables = Object.values<unknown>(schema).filter((value) => is(value, SQLiteTable));

async function rowsOf<T>(sql: string, ...parameters: unknown[]): Promise<T[]> {
  return (
    await env.DB.prepare(sql)
      .bind(...parameters)
      .all<T>()
  ).results;
}

describe('the tables of drizzle', () => {
  it('the tables of drizzle are those of the migrations', async () => {
    const found = await rowsOf<{ name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*' AND name <> 'd1_migrations'",
    );
    const named = tables.map((table) => getTableConfig(table).name);
    expect(found.map((table) => table.name).sort()).toEqual(named.sort());
  });

  it.each(tables.map((table) => [getTableConfig(table).name, table] as const))(
    'the drizzle table %s has the columns of the migrations',
    async (name, table) => {
      const { primaryKeys } = getTableConfig(table);
      const composite = primaryKeys.flatMap((key) => key.columns.map((column) => column.name));
      const found = await rowsOf<ColumnInfo>(`PRAGMA table_info(${name})`);
      const described = found.map((column) => ({
        name: column.name,
        type: column.type,
        required: column.notnull === 1 || column.pk > 0,
        key: column.pk > 0,
      }));
      const seen = Object.values(getTableColumns(table)).map((column) => ({
        name: column.name,
        type: column.getSQLType().toUpperCase(),
        required: column.notNull || composite.includes(column.name),
        key: column.primary || composite.includes(column.name),
      }));
      expect(described).toEqual(seen);
    },
  );
});

type Row = Readonly<Record<string, string | number | null>>;

const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
const KID = '0123456789abcdef0123456789abcdef01234567';

/** What an EdDSA key has beside the columns of every key. */
const AN_EDDSA_KEY = { algorithm: 'EdDSA', role: 'retired', retired_at: 253_402_300_799_999 } as const;

const good = {
  customers: { id: CUSTOMER, name: 'Acme', created_at: 1 },
  clients: {
    customer_id: CUSTOMER,
    client_id: 'client',
    name: 'main',
    scope: '*:webhooks/**',
    created_at: 1,
  },
  client_secrets: {
    id: 'secret-id',
    customer_id: CUSTOMER,
    client_id: 'client',
    secret_hash: 'a'.repeat(64),
    created_at: 1,
    expires_at: null,
  },
  signing_keys: {
    kid: KID,
    customer_id: CUSTOMER,
    role: 'current',
    public_jwk: '{}',
    sealed_private_key: 'sealed',
    created_at: 1,
    retired_at: null,
  },
  subscriptions: {
    id: '3d9a1f6e-52c4-4b0a-9d57-6f2e8c1b7a90',
    customer_id: CUSTOMER,
    title: 'Profile sync',
    endpoint: 'https://listener.example.com/',
    events: '[]',
    enabled: 1,
    version: 1,
    created_at: 1,
    updated_at: 1,
    deleted_at: null,
    erased_at: null,
  },
  dead_letters: { id: 'letter', queue: 'q', reason: 'r', body: '{}', accepted_at: 1, created_at: 1 },
} satisfies Record<string, Row>;

type TableName = keyof typeof good;
const names = Object.keys(good) as TableName[];

function insert(table: TableName, changes: Row = {}): D1PreparedStatement {
  const row: Row = { ...good[table], ...changes };
  const columns = Object.keys(row);
  const places = columns.map(() => '?').join(', ');
  return env.DB.prepare(`INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places})`).bind(
    ...Object.values(row),
  );
}

const owners = { customers: insert('customers'), clients: insert('clients') };
const ownersOf: Record<TableName, D1PreparedStatement[]> = {
  customers: [],
  clients: [owners.customers],
  client_secrets: [owners.customers, owners.clients],
  signing_keys: [owners.customers],
  subscriptions: [owners.customers],
  dead_letters: [],
};

/** Runs statements and undoes them: the last statement of the batch always fails. */
async function attempt(statements: D1PreparedStatement[]): Promise<string> {
  const undo = env.DB.prepare("SELECT json('all was accepted')");
  const error = await env.DB.batch([...statements, undo]).catch((failure: unknown) => failure);
  return error instanceof Error && !error.message.includes('malformed JSON') ? error.message : 'accepted';
}

/** What D1 answers to a valid row with these changes. The owners of the row exist. */
const inserting = (table: TableName, changes: Row = {}) =>
  attempt([...ownersOf[table], insert(table, changes)]);

describe('the constraints of a row', () => {
  it.each(names)('a valid row of %s is accepted', async (table) => {
    expect(await inserting(table)).toBe('accepted');
  });

  it.each<[string, TableName, Row[]]>([
    ['customer_id_is_a_uuid', 'customers', [{ id: '' }, { id: 'acme' }, { id: `${CUSTOMER}0` }]],
    ['only_a_hash_is_stored', 'client_secrets', [{ secret_hash: '' }, { secret_hash: 'the secret itself' }]],
    ['kid_is_40_hex', 'signing_keys', [{ kid: '' }, { kid: KID.slice(1) }, { kid: `${KID}0` }]],
    ['role_is_known', 'signing_keys', [{ role: '' }, { role: 'last' }, { role: 'CURRENT' }]],
    ['public_jwk_is_json', 'signing_keys', [{ public_jwk: '' }, { public_jwk: '{' }]],
    [
      'retired_exactly_when_it_has_a_time',
      'signing_keys',
      [{ role: 'retired' }, { role: 'current', retired_at: 5 }, { role: 'next', retired_at: 5 }],
    ],
    [
      'algorithm_is_known',
      'signing_keys',
      [
        { algorithm: '' },
        { algorithm: 'HS256' },
        { algorithm: 'eddsa' },
        { algorithm: 'EdDSA' },
        { algorithm: 'EdDSA', role: 'next' },
      ],
    ],
    [
      'eddsa_role_is_known',
      'signing_keys',
      [
        { eddsa_role: 'current' },
        { ...AN_EDDSA_KEY, eddsa_role: 'reserve' },
        { ...AN_EDDSA_KEY, eddsa_role: 'next', retired_at: 5 },
        { ...AN_EDDSA_KEY, eddsa_role: 'next', algorithm: 'RS256' },
      ],
    ],
    [
      'events_is_a_json_array',
      'subscriptions',
      [{ events: '{}' }, { events: '"entityCreated"' }, { events: 'null' }],
    ],
    ['enabled_is_a_boolean', 'subscriptions', [{ enabled: 2 }, { enabled: -1 }, { enabled: 'true' }]],
    ['version_counts_from_one', 'subscriptions', [{ version: 0 }, { version: -1 }]],
    ['erased_only_when_deleted', 'subscriptions', [{ erased_at: 5 }]],
    ['filter_steps_count_from_zero', 'subscriptions', [{ filter_steps: -1 }]],
  ])('a row that breaks %s is refused', async (constraint, table, rows) => {
    for (const row of rows) {
      expect(await inserting(table, row), JSON.stringify(row)).toContain(constraint);
    }
  });

  it.each<[string, TableName, Row]>([
    ['customer_id_is_a_uuid', 'customers', { id: 'z'.repeat(36) }],
    ['only_a_hash_is_stored', 'client_secrets', { secret_hash: 'Z'.repeat(64) }],
    ['kid_is_40_hex', 'signing_keys', { kid: 'z'.repeat(40) }],
  ])('a row that breaks %s is refused although its length is right', async (constraint, table, row) => {
    expect(await inserting(table, row)).toContain(constraint);
  });

  it.each(names.map((table) => [table, Object.keys(good[table])[0] ?? ''] as const))(
    'a row without its key %s.%s is refused',
    async (table, column) => {
      expect(await inserting(table, { [column]: null })).toContain(
        `NOT NULL constraint failed: ${table}.${column}`,
      );
    },
  );

  it('a row without any other required column is refused', async () => {
    for (const table of names) {
      for (const column of await rowsOf<ColumnInfo>(`PRAGMA table_info(${table})`)) {
        if (column.pk > 0 || column.notnull === 0) continue;
        expect(await inserting(table, { [column.name]: null }), `${table}.${column.name}`).not.toBe(
          'accepted',
        );
      }
    }
  });

  it('a row without its owner is refused', async () => {
    expect(await attempt([insert('clients')])).toContain('FOREIGN KEY');
    expect(await attempt([owners.customers, insert('client_secrets')])).toContain('FOREIGN KEY');
    expect(await attempt([insert('signing_keys')])).toContain('FOREIGN KEY');
  });
});

describe('the rows of a customer', () => {
  const key = (role: string, digit: string, changes: Row = {}) =>
    insert('signing_keys', { kid: digit.repeat(40), role, ...changes });

  it('a customer has one current and one next signing key, and any number in reserve or retired', async () => {
    const start = [
      owners.customers,
      key('current', '1'),
      key('next', '2'),
      key('reserve', '3'),
      key('reserve', '4'),
    ];
    const retired = [key('retired', '5', { retired_at: 1 }), key('retired', '6', { retired_at: 1 })];
    expect(await attempt([...start, ...retired])).toBe('accepted');
    expect(await attempt([...start, key('current', '7')])).toContain('signing_keys.customer_id');
    expect(await attempt([...start, key('next', '7')])).toContain('signing_keys.customer_id');
  });

  it('a customer has one current and one next EdDSA key beside its RSA keys', async () => {
    const eddsa = (role: string | null, digit: string, changes: Row = {}) =>
      key('retired', digit, { ...AN_EDDSA_KEY, eddsa_role: role, ...changes });
    const start = [
      owners.customers,
      key('current', '1'),
      key('next', '2'),
      eddsa('current', '3'),
      eddsa('next', '4'),
    ];
    expect(await attempt([...start, eddsa(null, '5', { retired_at: 1 }), eddsa(null, '6')])).toBe('accepted');
    for (const role of ['current', 'next']) {
      expect(await attempt([...start, eddsa(role, '7')])).toContain('signing_keys.customer_id');
    }
  });

  it('code that does not know EdDSA finds the RSA keys that sign, and nothing that it could rotate besides', async () => {
    const { body } = await asOperator('POST', '/customers', { name: 'Acme', signingAlgorithm: 'EdDSA' });
    const rows = await rowsOf<{ kid: string; role: string; retired_at: number; alg: string }>(
      "SELECT *, public_jwk ->> '$.alg' AS alg FROM signing_keys WHERE customer_id = ?",
      body.id,
    );
    const rolesOf = (alg: string) => rows.filter((row) => row.alg === alg).map(({ role }) => role);
    expect(rolesOf('RS256').toSorted()).toEqual(['current', 'next', 'reserve']);
    // It publishes a retired key for 35 days, and deletes it then.
    expect(rolesOf('EdDSA')).toEqual(['retired', 'retired']);
    for (const { alg, retired_at } of rows) {
      if (alg === 'EdDSA') expect(retired_at).toBeGreaterThan(Date.now() + 1000 * 365 * 86_400_000);
    }
  });

  it('a customer has no two living subscriptions of exactly the same title', async () => {
    const first = insert('subscriptions');
    const second = (changes: Row) => insert('subscriptions', { id: 'another', ...changes });
    const sharing = 'subscriptions.customer_id, subscriptions.title';
    expect(await attempt([first, second({})])).toContain(sharing);
    expect(await attempt([first, second({ title: 'profile sync' })])).toBe('accepted');
    expect(await attempt([first, second({ deleted_at: 5 })])).toBe('accepted');
    expect(await attempt([first, second({ customer_id: 'another' })])).toBe('accepted');
  });

  it('a deleted subscription is blank, also when the code that deletes it does not know that', async () => {
    const filter = JSON.stringify({ properties: {} });
    await insert('subscriptions', { filter, filter_steps: 7 }).run();
    onTestFinished(async () => {
      await env.DB.prepare('DELETE FROM subscriptions WHERE customer_id = ?').bind(CUSTOMER).run();
    });
    const deletion = 'UPDATE subscriptions SET deleted_at = 5, version = version + 1 WHERE customer_id = ?';
    await env.DB.prepare(deletion).bind(CUSTOMER).run();
    expect(await rowsOf('SELECT * FROM subscriptions WHERE customer_id = ?', CUSTOMER)).toMatchObject([
      { title: '', endpoint: '', events: '[]', filter: null, filter_steps: 0, version: 2, deleted_at: 5 },
    ]);
  });

  it('the migration makes older tombstones blank, and leaves living subscriptions as they are', async () => {
    const migration = env.TEST_MIGRATIONS.find(({ name }) => name.includes('blank_tombstones'));
    const update = migration?.queries.find((query) => /^UPDATE/m.test(query)) ?? '';
    const filter = JSON.stringify({ properties: {} });
    await insert('subscriptions', { filter, filter_steps: 7 }).run();
    await insert('subscriptions', { id: 'deleted', filter, filter_steps: 7, deleted_at: 5 }).run();
    onTestFinished(async () => {
      await env.DB.prepare('DELETE FROM subscriptions WHERE customer_id = ?').bind(CUSTOMER).run();
    });
    await env.DB.prepare(update).run();
    expect(
      await rowsOf('SELECT * FROM subscriptions WHERE customer_id = ? ORDER BY id', CUSTOMER),
    ).toMatchObject([
      { title: 'Profile sync', filter, filter_steps: 7 },
      { title: '', endpoint: '', events: '[]', filter: null, filter_steps: 0 },
    ]);
  });

  it('deleting a customer deletes its clients, secrets and keys, but not its tombstones', async () => {
    const all = names.filter((table) => table !== 'dead_letters');
    await env.DB.batch(all.map((table) => insert(table)));
    await env.DB.prepare('DELETE FROM customers WHERE id = ?').bind(CUSTOMER).run();
    for (const table of all) {
      const owner = table === 'customers' ? 'id' : 'customer_id';
      const left = await rowsOf(`SELECT 1 FROM ${table} WHERE ${owner} = '${CUSTOMER}'`);
      expect(left, table).toHaveLength(table === 'subscriptions' ? 1 : 0);
    }
    await env.DB.prepare('DELETE FROM subscriptions WHERE customer_id = ?').bind(CUSTOMER).run();
  });
});
