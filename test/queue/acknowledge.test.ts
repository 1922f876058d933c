import { describe, expect, it } from 'vitest';
import { type Acknowledgeable, acknowledge, retryDelaySeconds } from '../../src/queue/acknowledge.ts';

/** A message that records the decisions about it. */
class Message implements Acknowledgeable {
  readonly decisions: (string | number)[] = [];
  readonly attempts: number;
  constructor(attempts: number) {
    this.attempts = attempts;
  }
  ack(): void {
    this.decisions.push('ack');
  }
  retry({ delaySeconds }: { delaySeconds: number }): void {
    this.decisions.push(delaySeconds);
  }
}

/** The decisions about a message, and how often `giveUp` was called. */
async function decide(attempts: number, isDone: boolean, giveUp: () => Promise<void> = async () => {}) {
  const message = new Message(attempts);
  let given = 0;
  await acknowledge(message, isDone, async () => {
    given++;
    await giveUp();
  });
  return { decisions: message.decisions, given };
}

describe('the wait before a message comes again', () => {
  it('the wait before a message comes again doubles with every delivery, up to 15 minutes', () => {
    const attempts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 50, 101, 5000];
    const waits = attempts.map((attempt) => retryDelaySeconds(attempt));
    expect(waits).toEqual([2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900, 900]);
  });
});

describe('a queue message', () => {
  it('a finished message is acknowledged, at its last delivery too', async () => {
    expect(await decide(1, true)).toEqual({ decisions: ['ack'], given: 0 });
    expect(await decide(101, true)).toEqual({ decisions: ['ack'], given: 0 });
  });

  it('an unfinished message is returned to the queue', async () => {
    expect(await decide(3, false)).toEqual({ decisions: [8], given: 0 });
    expect(await decide(100, false)).toEqual({ decisions: [900], given: 0 });
  });

  it('an unfinished message is given up at its last delivery, and then acknowledged', async () => {
    expect(await decide(101, false)).toEqual({ decisions: ['ack'], given: 1 });
  });

  it('an unfinished message that cannot be given up is returned to the queue at its last delivery', async () => {
    const away = () => Promise.reject(new Error('the database is away'));
    expect(await decide(101, false, away)).toEqual({ decisions: [900], given: 1 });
  });
});
