/** Counts the rows that a call of an event store reads, as the platform counts them for the bill. */
import { runInDurableObject } from 'cloudflare:test';
import type { EventStore } from '../../src/event-store/event-store.ts';

export async function rowsRead(
  store: DurableObjectStub<EventStore>,
  call: (instance: EventStore) => unknown,
): Promise<number> {
  return await runInDurableObject(store, async (instance, { storage }) => {
    const { sql } = storage;
    const original = sql.exec.bind(sql);
    let rows = 0;
    Object.defineProperty(sql, 'exec', {
      configurable: true,
      value: (query: string, ...values: SqlStorageValue[]) => {
        const cursor = original(query, ...values);
        const all = cursor.toArray();
        rows += cursor.rowsRead;
        return { toArray: () => all, one: () => all[0], rowsRead: 0, rowsWritten: 0 };
      },
    });
    await call(instance);
    Reflect.deleteProperty(sql, 'exec');
    return rows;
  });
}
