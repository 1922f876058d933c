import { describe, expect, it } from 'vitest';
import { DONE, FAILED, LATER } from '../../src/delivery/disposition.ts';
import type { IdentityEvent } from '../../src/domain/event.ts';
import type { PackedEvents, SliceOf } from '../../src/outbound/queues.ts';
import { Progress } from '../../src/queue/progress.ts';

function anEvent(id: string, customerId = 'c'): IdentityEvent {
  return { id, customerId, type: 'entityCreated', acceptedAt: 5, occurredAt: 5 } as IdentityEvent;
}

const [x, y] = [anEvent('x'), anEvent('y')];

/** A message with two events for subscriptions that the test names. */
function aMessage({ attempts = 1, slice = {} as SliceOf, isQueueAway = false, restDeliveries = 100 } = {}) {
  const decisions: unknown[] = [];
  const sent: [PackedEvents, number][] = [];
  const message = {
    id: 'm',
    attempts,
    ack: () => void decisions.push('ack'),
    retry: ({ delaySeconds }: { delaySeconds: number }) => void decisions.push(delaySeconds),
  };
  const progress = new Progress(message, slice, {
    sendRest: async (slices, seconds) => {
      if (isQueueAway) throw new Error('away');
      for (const slice of slices) sent.push([slice, seconds]);
    },
    restDeliveries,
    giveUp: async () => void decisions.push('given up'),
    now: () => 0,
  });
  return { decisions, sent, progress };
}

/** Ends deliveries, and then the message. */
async function end(
  progress: Progress,
  ends: readonly (readonly [string, IdentityEvent, Parameters<Progress['end']>[2]])[],
) {
  for (const _ of ends) progress.expect();
  progress.endPart(true);
  for (const one of ends) progress.end(...one);
  await progress.finished;
}

/** What the slices say: subscriptions, events, failures, seconds. */
const told = (sent: readonly [PackedEvents, number][]) =>
  sent.map(([{ subscriptions, events, failures }, seconds]) => [
    subscriptions?.join(),
    events.map(([id]) => id).join(),
    failures,
    seconds,
  ]);

describe('the progress of a message', () => {
  it('a message is acknowledged when its last delivery is done, and not before', async () => {
    const { progress, decisions } = aMessage();
    progress.expect();
    progress.expect();
    progress.endPart(true);
    progress.end('s1', x, DONE);
    await Promise.resolve();
    expect(decisions).toEqual([]);
    progress.end('s2', x, DONE);
    await progress.finished;
    expect(decisions).toEqual(['ack']);
  });

  it('a message of which something failed returns to the queue as a whole', async () => {
    const { progress, decisions, sent } = aMessage({ attempts: 3 });
    await end(progress, [
      ['s1', x, DONE],
      ['s2', x, FAILED],
    ]);
    expect(decisions).toEqual([8]);
    expect(sent).toEqual([]);
  });

  it('deliveries without a connection are sent on, by wait, before the message is acknowledged', async () => {
    const { progress, decisions, sent } = aMessage();
    await end(progress, [
      ['s1', x, LATER],
      ['s2', x, LATER],
      ['s2', y, LATER],
      ['s3', y, { kind: 'later', waitMs: 1200 }],
      ['s4', y, DONE],
    ]);
    expect(told(sent)).toEqual([
      ['s1,s2', 'x,y', undefined, 0],
      ['s3', 'y', undefined, 2],
    ]);
    expect(sent[0]?.[0]).toMatchObject({ packed: 1, customerId: 'c', acceptedAt: 5 });
    expect(decisions).toEqual(['ack']);
  });

  it('a rest of many deliveries is sent on in several slices', async () => {
    const { progress, sent } = aMessage({ restDeliveries: 4 });
    await end(
      progress,
      ['s1', 's2', 's3', 's4', 's5'].flatMap((id) => [[id, x, LATER] as const, [id, y, LATER] as const]),
    );
    expect(told(sent).map(([subscriptions]) => subscriptions)).toEqual(['s1,s2', 's3,s4', 's5']);
  });

  it('being sent on costs no retry: the failures before stay as they were', async () => {
    const { progress, sent } = aMessage({ attempts: 4, slice: { failures: 5 } });
    await end(progress, [['s1', x, LATER]]);
    expect(told(sent)).toEqual([['s1', 'x', 8, 0]]);
  });

  it('what failed goes on by itself when something else is sent on, with one failure more', async () => {
    const { progress, decisions, sent } = aMessage({ attempts: 2 });
    await end(progress, [
      ['s1', x, LATER],
      ['s2', y, FAILED],
    ]);
    expect(told(sent)).toEqual([
      ['s1', 'x', 1, 0],
      ['s2', 'y', 2, 4],
    ]);
    expect(decisions).toEqual(['ack']);
  });

  it('a message returns to the queue when its rest could not be sent on', async () => {
    const { progress, decisions } = aMessage({ isQueueAway: true });
    await end(progress, [['s1', x, LATER]]);
    expect(decisions).toEqual([2]);
  });

  it('a slice that has failed a hundred times is given up at its next failure', async () => {
    const { progress, decisions } = aMessage({ slice: { failures: 100 } });
    await end(progress, [['s1', x, FAILED]]);
    expect(decisions).toEqual(['given up', 'ack']);
  });

  it('a message whose dead letters were not stored returns to the queue', async () => {
    const { progress, decisions } = aMessage();
    progress.expect();
    progress.endPart(true);
    progress.endPart(false);
    await progress.finished;
    expect(decisions).toEqual([2]);
  });

  it('events of two customers are sent on in slices of their own', async () => {
    const { progress, sent } = aMessage();
    await end(progress, [
      ['s1', x, LATER],
      ['s2', anEvent('x', 'other'), LATER],
    ]);
    expect(sent.map(([{ customerId, subscriptions }]) => [customerId, subscriptions])).toEqual([
      ['c', ['s1']],
      ['other', ['s2']],
    ]);
  });
});
