import { describe, expect, it } from 'vitest';
import { openEventStore } from '../../src/event-store/client.ts';

/** A namespace whose objects answer these in turn: an error is thrown, anything else is the answer. */
function namespaceOf(...answers: unknown[]) {
  const calls: string[] = [];
  let stubs = 0;
  const namespace = {
    idFromName: (name: string) => name,
    get: () => {
      stubs++;
      return new Proxy(
        {},
        {
          get: (_, name) => async () => {
            calls.push(String(name));
            const answer = answers[calls.length - 1];
            if (answer instanceof Error) throw answer;
            return answer;
          },
        },
      );
    },
  };
  return {
    store: openEventStore(namespace as unknown as DurableObjectNamespace, 'subscription', {}),
    calls,
    stubs: () => stubs,
  };
}

const marked = (marks: object) => Object.assign(new Error('the object restarts'), marks);
const restarts = marked({ retryable: true });

describe('a call of an event store', () => {
  it('a call to an object that restarts is tried again on a new stub, and answers', async () => {
    const { store, calls, stubs } = namespaceOf(restarts, restarts, 7);
    expect(await store.total()).toBe(7);
    expect(calls).toEqual(['total', 'total', 'total']);
    expect(stubs()).toBe(3);
  });

  it('a call to an object that stays away is an outage after three tries', async () => {
    const { store, calls } = namespaceOf(restarts, restarts, restarts, 7);
    await expect(store.total()).rejects.toMatchObject({ name: 'Outage', cause: restarts });
    expect(calls).toHaveLength(3);
  });

  it.each([
    ['is overloaded', { retryable: true, overloaded: true }],
    ['was reset', { durableObjectReset: true }],
  ])('a call to an object that %s is an outage at once', async (_, marks) => {
    const { store, calls } = namespaceOf(marked(marks), 7);
    await expect(store.total()).rejects.toMatchObject({ name: 'Outage' });
    expect(calls).toHaveLength(1);
  });

  it('a call that the object does not have yet is an outage at once: a deploy is on its way', async () => {
    const older = new TypeError('The RPC receiver does not implement the method "search".');
    const { store, calls } = namespaceOf(older, 7);
    await expect(store.search({} as never)).rejects.toMatchObject({ name: 'Outage', cause: older });
    expect(calls).toHaveLength(1);
  });

  it('an error of the store itself is passed on at once', async () => {
    const bug = Object.assign(new TypeError('a bug'), { remote: true });
    const { store, calls } = namespaceOf(bug, 7);
    await expect(store.total()).rejects.toBe(bug);
    expect(calls).toHaveLength(1);
  });

  it.each([
    ['redeliver', (store: ReturnType<typeof openEventStore>) => store.redeliver({} as never, 'event')],
    ['takeRedelivery', (store: ReturnType<typeof openEventStore>) => store.takeRedelivery({} as never)],
    ['startExport', (store: ReturnType<typeof openEventStore>) => store.startExport({} as never)],
    [
      'startRedelivery',
      (store: ReturnType<typeof openEventStore>) =>
        store.startRedelivery({} as never, { since: 0, until: 1 }),
    ],
  ])('%s is not repeated, because a repeat would find its own work done', async (_, call) => {
    const { store, calls } = namespaceOf(restarts, 7);
    await expect(call(store)).rejects.toMatchObject({ name: 'Outage' });
    expect(calls).toHaveLength(1);
  });

  it.each([
    ['cancelExport', (store: ReturnType<typeof openEventStore>) => store.cancelExport('job')],
    ['cancelRedelivery', (store: ReturnType<typeof openEventStore>) => store.cancelRedelivery('job')],
  ])('%s is repeated: a job that is canceled already is canceled all the same', async (name, call) => {
    const { store, calls } = namespaceOf(restarts, 'canceled');
    expect(await call(store)).toBe('canceled');
    expect(calls).toEqual([name, name]);
  });

  it('a store is not a promise: awaiting it calls nothing', async () => {
    const { store, calls } = namespaceOf();
    await store;
    expect(calls).toEqual([]);
  });
});
