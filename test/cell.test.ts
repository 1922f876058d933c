/** Where the Durable Objects of a deployment are, and their names. */
import { describe, expect, it } from 'vitest';
import type { Cell } from '../src/cell.ts';
import { openEventStore } from '../src/event-store/client.ts';
import { openHostLimit } from '../src/host-limit/client.ts';

/** A namespace that writes down what it is asked for. */
function recorded() {
  const calls: unknown[][] = [];
  const namespace = {
    jurisdiction: (name: string) => {
      calls.push(['jurisdiction', name]);
      return namespace;
    },
    idFromName: (name: string) => {
      calls.push(['idFromName', name]);
      return `id of ${name}`;
    },
    get: (...values: unknown[]) => {
      calls.push(['get', ...values]);
      return { visit: async () => ({ granted: 0, waitMs: 0, isAnswering: false, isGrowing: false }) };
    },
  };
  return { namespace: namespace as unknown as DurableObjectNamespace, calls };
}

async function openBoth(cell: Cell) {
  const { namespace, calls } = recorded();
  openEventStore(namespace, '726087ec-35df-4041-aec8-c11ecc208efa', cell);
  const store = calls.splice(0);
  const visit = { id: 'holder', want: 0, leaseMs: 1, left: 0, succeeded: 0, failedStarts: [] };
  await openHostLimit(namespace, '0a1b2c3d-0000-4000-8000-000000000000', 'a.example:8443', cell).visit(
    visit as never,
  );
  return { store, limit: calls };
}

describe('the names of Durable Objects', () => {
  // Never change what is expected here: every deployed event store has its data under this name.
  it('an event store has the id of its subscription as its name, and a host limit customer and host', async () => {
    expect(await openBoth({})).toEqual({
      store: [
        ['idFromName', '726087ec-35df-4041-aec8-c11ecc208efa'],
        ['get', 'id of 726087ec-35df-4041-aec8-c11ecc208efa'],
      ],
      limit: [
        ['idFromName', '0a1b2c3d-0000-4000-8000-000000000000 a.example:8443'],
        ['get', 'id of 0a1b2c3d-0000-4000-8000-000000000000 a.example:8443'],
      ],
    });
  });

  it('the names in a jurisdiction are the same, and the ids are those of the jurisdiction', async () => {
    const { store, limit } = await openBoth({ jurisdiction: 'eu' });
    expect(store.slice(0, 2)).toEqual([
      ['jurisdiction', 'eu'],
      ['idFromName', '726087ec-35df-4041-aec8-c11ecc208efa'],
    ]);
    expect(limit.slice(0, 2)).toEqual([
      ['jurisdiction', 'eu'],
      ['idFromName', '0a1b2c3d-0000-4000-8000-000000000000 a.example:8443'],
    ]);
  });

  it('a location hint is given with each reference, because the first call creates the object', async () => {
    const { store, limit } = await openBoth({ locationHint: 'weur' });
    expect(store.at(-1)).toEqual(['get', expect.any(String), { locationHint: 'weur' }]);
    expect(limit.at(-1)).toEqual(['get', expect.any(String), { locationHint: 'weur' }]);
  });
});
