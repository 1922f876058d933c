import { describe, expect, it } from 'vitest';
import { type Slot, Slots } from '../../src/delivery/slots.ts';

/** Waits for slots, and records in which order they are given. */
class Line {
  readonly order: string[] = [];
  readonly refused: string[] = [];
  readonly #slots: Slots;
  readonly #held = new Map<string, Slot[]>();

  constructor(slots: Slots) {
    this.#slots = slots;
  }

  /** @param name customer and subscription: `a1` */
  wait(name: string, isProven = true): void {
    void this.#slots.take(names(name), isProven).then((slot) => {
      if (slot === undefined) {
        this.refused.push(name);
        return;
      }
      this.order.push(name);
      this.#held.set(name, [...(this.#held.get(name) ?? []), slot]);
    });
  }

  release(name: string): void {
    this.#held.get(name)?.shift()?.release();
  }
}

const names = (name: string) => ({ customerId: name.slice(0, 1), subscriptionId: name });

async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function newLine(isShared = false) {
  const slots = new Slots(isShared);
  return { slots, line: new Line(slots) };
}

describe('the slots of an invocation', () => {
  it('an invocation has five slots', async () => {
    const { line } = newLine();
    for (let index = 0; index < 9; index++) line.wait(`a${index}`);
    await settled();
    expect(line.order).toHaveLength(5);
    line.release('a0');
    await settled();
    expect(line.order).toHaveLength(6);
  });

  it('a subscription has two slots while another waits, and five when it is alone', async () => {
    const { line } = newLine();
    for (let index = 0; index < 9; index++) line.wait('a1');
    await settled();
    expect(line.order).toHaveLength(5);
    for (let index = 0; index < 9; index++) line.wait('b1');
    for (let index = 0; index < 3; index++) line.release('a1');
    await settled();
    expect(line.order.slice(5)).toEqual(['b1', 'b1', 'a1']);
  });

  it('customers take turns, however many subscriptions one of them has', async () => {
    const { line } = newLine();
    for (let index = 0; index < 8; index++) line.wait(`a${index}`);
    await settled();
    line.wait('b1');
    line.wait('a9');
    line.release('a0');
    await settled();
    expect(line.order.at(-1)).toBe('b1');
  });

  it('a subscription whose listener has not answered gets a second slot only when it has', async () => {
    const { slots, line } = newLine();
    for (let index = 0; index < 3; index++) line.wait('a1', false);
    await settled();
    expect(line.order).toEqual(['a1']);
    slots.proven(names('a1'));
    await settled();
    expect(line.order).toEqual(['a1', 'a1', 'a1']);
  });

  it('three overdue requests close an invocation to all who wait, and four one of several customers', async () => {
    const { slots, line } = newLine();
    for (const name of ['a1', 'b1', 'c1', 'd1', 'e1', 'f1']) line.wait(name);
    await settled();
    for (let count = 0; count < 2; count++) slots.overdue(names('x1'));
    await settled();
    expect(line.refused).toEqual([]);
    slots.overdue(names('x1'));
    line.wait('g1');
    await settled();
    expect(line.refused).toEqual(['f1', 'g1']);
    const shared = newLine(true);
    for (const name of ['a1', 'b1', 'c1', 'd1', 'e1', 'f1']) shared.line.wait(name);
    for (const name of ['a1', 'b1', 'c1']) shared.slots.overdue(names(name));
    await settled();
    expect(shared.line.refused).toEqual([]);
    shared.slots.overdue(names('d1'));
    await settled();
    expect(shared.line.refused).toEqual(['f1']);
  });

  it('an overdue request that was answered does not count any more', async () => {
    const { slots, line } = newLine();
    for (let index = 0; index < 5; index++) {
      slots.overdue(names('x1'));
      slots.answered(names('x1'));
    }
    line.wait('a1');
    await settled();
    expect(line.order).toEqual(['a1']);
  });

  it('dismissing a subscription leaves the others in line', async () => {
    const { slots, line } = newLine();
    for (const name of ['a1', 'a1', 'a1', 'b1', 'b1', 'b1']) line.wait(name);
    await settled();
    slots.dismiss(names('a1'));
    line.release('a1');
    await settled();
    expect(line.refused).toEqual([]);
    expect(line.order).toEqual(['a1', 'a1', 'a1', 'b1', 'b1', 'b1']);
  });

  it('a customer has three slots in a batch of several customers, and five in a batch of its own', async () => {
    const { line } = newLine(true);
    for (let index = 0; index < 9; index++) line.wait(`a${index}`);
    await settled();
    expect(line.order).toHaveLength(3);
    line.wait('b1');
    line.wait('b2');
    await settled();
    expect(line.order.slice(3)).toEqual(['b1', 'b2']);
    line.release('a0');
    await settled();
    expect(line.order).toHaveLength(6);
  });

  it('a delivery that stays in line is not dismissed with the others of its subscription', async () => {
    const { slots, line } = newLine();
    for (let index = 0; index < 6; index++) line.wait('a1');
    const stays = slots.take(names('a1'), true, true);
    await settled();
    slots.dismiss(names('a1'));
    await settled();
    expect(line.refused).toEqual(['a1']);
    line.release('a1');
    expect(await stays).toBeDefined();
  });

  it('a customer whose three slots are overdue gets no more, and the others go on', async () => {
    const { slots, line } = newLine(true);
    for (const name of ['a1', 'a2', 'a3', 'a4', 'b1']) line.wait(name);
    await settled();
    for (const name of ['a1', 'a2', 'a3']) slots.overdue(names(name));
    line.wait('a5');
    line.wait('b2');
    await settled();
    expect(line.refused).toEqual(['a4', 'a5']);
    expect(line.order).toEqual(['a1', 'a2', 'a3', 'b1', 'b2']);
  });
});
