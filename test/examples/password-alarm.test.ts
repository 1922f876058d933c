/** The rules of the example that counts password changes. Time is an argument; only the restart needs a file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { type Noted, PasswordAlarm } from '../../examples/password-alarm/alarm.ts';

const NOW = 1_800_000_000;
const RULE = { changes: 3, within: 60 };

const folder = mkdtempSync(join(tmpdir(), 'password-alarm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Times are seconds as of `NOW`. */
function counter(file = ':memory:') {
  const alarm = new PasswordAlarm(file, RULE);
  let number = 0;
  return {
    alarm,
    note: (at: number, application = 'shop', jti = `${file} ${application} ${number++}`): Noted =>
      alarm.note({ jti, application, at: NOW + at }, NOW),
    raised: () =>
      alarm.unsent().map(({ application, first, last }) => [application, first - NOW, last - NOW]),
  };
}

describe('the alarm about password changes', () => {
  it('three changes within 60 s raise an alarm, and two do not', () => {
    const { note, raised } = counter();
    note(-59);
    note(-30);
    expect(raised()).toEqual([]);
    note(0);
    expect(raised()).toEqual([['shop', -59, 0]]);
  });

  it('changes that are 60 s apart are in no window together', () => {
    const { note, raised } = counter();
    for (const at of [-60, -30, 0]) note(at);
    expect(raised()).toEqual([]);
  });

  it('the window slides: the last of many changes counts with those just before it', () => {
    const { note, raised } = counter();
    for (const at of [-300, -200, -120, -50, -49]) note(at);
    expect(raised()).toEqual([]);
    note(-45);
    expect(raised()).toEqual([['shop', -50, -45]]);
  });

  it('each application has a window of its own', () => {
    const { note, raised } = counter();
    for (const application of ['shop', 'forum', 'shop', 'forum']) note(0, application);
    expect(raised()).toEqual([]);
    note(0, 'forum');
    expect(raised()).toEqual([['forum', 0, 0]]);
  });

  it('a token that comes again counts nothing', () => {
    const { note, raised } = counter();
    expect([note(0, 'shop', 'a'), note(1, 'shop', 'b'), note(1, 'shop', 'b'), note(0, 'shop', 'a')]).toEqual([
      'counted',
      'counted',
      'repeat',
      'repeat',
    ]);
    expect(raised()).toEqual([]);
  });

  it('a late change counts at its own time: it completes the window that it belongs to', () => {
    const { note, raised } = counter();
    note(-3600);
    note(-3590);
    note(0);
    note(-3580);
    expect(raised()).toEqual([['shop', -3600, -3580]]);
  });

  it('a late change completes a window whose other changes happened after it', () => {
    const { note, raised } = counter();
    note(-10);
    note(0);
    note(-40);
    expect(raised()).toEqual([['shop', -40, 0]]);
  });

  it('late changes that arrive together raise no alarm when they happened far apart', () => {
    const { note, raised } = counter();
    for (let hour = 0; hour < 20; hour++) note(-3600 * hour);
    expect(raised()).toEqual([]);
  });

  it('a change of more than a day ago is not kept', () => {
    const { note, raised } = counter();
    for (const jti of ['a', 'b', 'c']) expect(note(-86_401, 'shop', jti)).toBe('late');
    expect(note(-86_400, 'shop', 'd')).toBe('counted');
    expect(raised()).toEqual([]);
  });

  it('one flurry raises one alarm, which grows while the flurry goes on', () => {
    const { alarm, note, raised } = counter();
    for (let at = -600; at <= 0; at += 10) note(at);
    expect(raised()).toEqual([['shop', -600, 0]]);
    alarm.markSent(alarm.unsent()[0] ?? { id: 0, application: '', first: 0, last: 0 });
    note(5);
    expect(raised()).toEqual([]);
  });

  it('changes that follow an alarm in less than a window are of its flurry', () => {
    const { note, raised } = counter();
    for (const at of [-500, -499, -498, -439, -438, -437]) note(at);
    expect(raised()).toEqual([['shop', -500, -437]]);
  });

  it('a flurry after a quiet time raises another alarm', () => {
    const { note, raised } = counter();
    for (const at of [-500, -499, -498, -400, -399, -398]) note(at);
    expect(raised()).toEqual([
      ['shop', -500, -498],
      ['shop', -400, -398],
    ]);
  });

  it('changes and unsent alarms survive a restart, and a sent alarm is not sent again', () => {
    const file = join(folder, 'alarm.db');
    const before = counter(file);
    before.note(0, 'shop', 'a');
    before.note(0, 'shop', 'b');
    before.alarm.close();
    const after = counter(file);
    expect(after.note(0, 'shop', 'b')).toBe('repeat');
    after.note(0, 'shop', 'c');
    after.alarm.close();
    const later = counter(file);
    const [raised] = later.alarm.unsent();
    expect(later.raised()).toEqual([['shop', 0, 0]]);
    if (raised !== undefined) later.alarm.markSent(raised);
    later.alarm.close();
    const last = counter(file);
    expect(last.raised()).toEqual([]);
    last.alarm.close();
  });

  it('old changes and sent alarms leave the database', () => {
    const alarm = new PasswordAlarm(':memory:', RULE);
    const day = 86_400;
    for (const jti of ['a', 'b', 'c']) alarm.note({ jti, application: 'shop', at: NOW }, NOW);
    for (const one of alarm.unsent()) alarm.markSent(one);
    alarm.note({ jti: 'd', application: 'shop', at: NOW + 2 * day }, NOW + 2 * day);
    // The same id would be a repeat if its change were still there.
    expect(alarm.note({ jti: 'a', application: 'shop', at: NOW + 2 * day }, NOW + 2 * day)).toBe('counted');
    alarm.close();
  });
});
