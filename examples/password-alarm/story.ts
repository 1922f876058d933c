/** `npm run story:alarm`: a flurry of password changes raises an alarm. The service and the listener are real; it takes a minute. */
import { join } from 'node:path';
import type { components } from '@identity-webhooks/client';
import { v7 } from 'uuid';
import { check, type RunningListener, type Stage, say, tell, until } from '../../tools/harness/stage.ts';
import filter from './filter.json' with { type: 'json' };

type Event = components['schemas']['PublishedEvent'];

/** A user of an application changes something. */
function anUpdate(application: string, attribute: string, secondsAgo = 0): Event & { readonly id: string } {
  return {
    type: 'entityUpdated',
    id: v7(),
    occurredAt: new Date(Date.now() - secondsAgo * 1000).toISOString(),
    captureApplicationId: application,
    captureClientId: 'profile-page',
    entityType: 'user',
    sub: crypto.randomUUID(),
    attributes: [attribute],
  };
}

const passwords = (count: number, application: string, secondsAgo?: number) =>
  Array.from({ length: count }, () => anUpdate(application, 'password', secondsAgo));

function alarmsOf(listener: RunningListener): string[] {
  return listener.output().match(/ALARM.*/g) ?? [];
}

async function story(stage: Stage): Promise<void> {
  const { customer } = stage;
  say('\nThe listener raises an alarm at five password changes of one application within five minutes.');
  const program = join(import.meta.dirname, 'listener.ts');
  const settings = {
    CHANGES: '5',
    WITHIN_SECONDS: '300',
    STATE: join(stage.home.directory, 'alarm.db'),
  };
  const listener = await stage.startListener(program, settings);
  say('Its subscription has a filter, so that only password changes of users come:');
  say(`  ${JSON.stringify(filter)}`);
  const sid = await stage.subscribe({ title: 'Password alarm', events: ['entityUpdated'], filter });

  say('\nFour users of the shop change their password. Ten change their name, which the filter keeps away.');
  const four = passwords(4, 'shop');
  await customer.publish([...four, ...Array.from({ length: 10 }, () => anUpdate('shop', 'givenName'))]);
  await listener.printed('counted: a password change in the application shop', 4);
  say('Four users of the forum change theirs.');
  await customer.publish(passwords(4, 'forum'));
  await listener.printed('counted: a password change in the application forum', 4);
  check(alarmsOf(listener).length === 0, 'four changes of each application raised an alarm');
  say('  No alarm: each application has a window of its own.');

  say('\nA token comes again, because an answer was lost.');
  const status = await stage.sendAgain(await stage.tokenOf(sid, four[0]?.id ?? ''));
  check(status === 202, `the listener answered the repeat with ${status}`);
  check(alarmsOf(listener).length === 0, 'a repeat counted');
  say('  No alarm: the listener answers 202 and counts nothing, because it knows the jti.');

  say('\nFive changes of two hours ago come late, one for each ten minutes.');
  await customer.publish([0, 1, 2, 3, 4].flatMap((n) => passwords(1, 'shop', 7200 + 600 * n)));
  await listener.printed('counted: a password change in the application shop', 9);
  check(alarmsOf(listener).length === 0, 'late changes counted at the time of their arrival');
  say('  No alarm: each counts at its own time.');

  say(
    '\nThe listener is killed, a fifth user of the shop changes the password, and the listener comes back.',
  );
  await listener.kill();
  const fifth = passwords(1, 'shop', 2);
  await customer.publish(fifth);
  const restarted = await stage.startListener(program, settings);
  await restarted.printed('ALARM');
  say(
    `  The service tried again after 3 seconds, and the listener had its count in a file:\n  ${alarmsOf(restarted)[0]}`,
  );

  say('\nThree more users of the shop change their password.');
  await customer.publish(passwords(3, 'shop'));
  await restarted.printed('counted: a password change in the application shop', 4);
  check(alarmsOf(restarted).length === 1, 'the flurry raised a second alarm');
  say('  No second alarm: it is the same flurry.');

  const total = async () => (await customer.call('listEvents', { sid })).total;
  await until(async () => (await total()) === 17, '17 events in the event store');
  say('\nThe event store of the subscription has 17 events: the ten changes of names never came there.');
}

await tell(story);
