/**
 * `npm run story:profile-copy`: a button in the profile, and a mail with a copy of the data, once, later. The service and the listener
 * are real; the wait is ten seconds instead of minutes. It takes a minute.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { components } from '@identity-webhooks/client';
import { v7 } from 'uuid';
import { check, type Stage, say, tell, until } from '../../tools/harness/stage.ts';
import filter from './filter.json' with { type: 'json' };

type Event = components['schemas']['PublishedEvent'];

const DELAY_SECONDS = 10;

interface User {
  readonly name: string;
  readonly sub: string;
  readonly globalSub: string;
}

/** Makes a profile where the listener reads it: in your program, the identity platform has it. */
function createProfile(folder: string, name: string): User {
  const sub = crypto.randomUUID();
  const globalSub = `capture-v1://us.janraincapture.com/shop/user/${sub}`;
  const profile = { email: `${name.toLowerCase()}@example.com`, givenName: name, sub };
  writeFileSync(join(folder, `${encodeURIComponent(globalSub)}.json`), JSON.stringify(profile));
  return { name, sub, globalSub };
}

const aboutUser = ({ sub, globalSub }: User) => ({
  id: v7(),
  captureApplicationId: 'shop',
  captureClientId: 'profile-page',
  entityType: 'user',
  sub,
  globalSub,
});

/** What the identity platform publishes when a button of the profile sets an attribute. */
function pressed(user: User, attribute: 'dataCopyRequestedAt' | 'dataCopyCanceledAt' | 'givenName') {
  return { ...aboutUser(user), type: 'entityUpdated', attributes: [attribute] } satisfies Event;
}

async function story(stage: Stage): Promise<void> {
  const { customer, home } = stage;
  const profiles = join(home.directory, 'profiles');
  const outbox = join(home.directory, 'outbox');
  mkdirSync(profiles);
  const [ann, bob, cleo, dan] = ['Ann', 'Bob', 'Cleo', 'Dan'].map((name) => createProfile(profiles, name));
  check(ann !== undefined && bob !== undefined && cleo !== undefined && dan !== undefined, 'four users');
  const mails = () => readdirSync(outbox).filter((name) => name.endsWith('.eml'));

  say(`\nThe listener mails a copy of the data ${DELAY_SECONDS} seconds after a user asks for it.`);
  const program = join(import.meta.dirname, 'listener.ts');
  const settings = {
    DELAY_SECONDS: String(DELAY_SECONDS),
    STATE: join(home.directory, 'copies.db'),
    PROFILES: profiles,
    OUTBOX: outbox,
  };
  const listener = await stage.startListener(program, settings);
  say('Its subscription has a filter, so that only the two buttons and deleted users come:');
  say(`  ${JSON.stringify(filter)}`);
  const body = {
    title: 'Profile copy',
    events: ['entityUpdated' as const, 'entityDeleted' as const],
    filter,
  };
  const sid = await stage.subscribe(body);

  say(
    '\nAnn asks for a copy. Bob asks and cancels. Cleo asks twice. Dan asks, and then deletes the account.',
  );
  say('All of them change their name too, which the filter keeps away.');
  const request = pressed(ann, 'dataCopyRequestedAt');
  const earliest = Math.floor(Date.now() / 1000 + DELAY_SECONDS) * 1000; // a token has whole seconds
  const checkThatNoneIsEarly = () =>
    check(Date.now() >= earliest || mails().length === 0, 'a mail went out before its time');
  await customer.publish([
    request,
    pressed(bob, 'dataCopyRequestedAt'),
    pressed(bob, 'dataCopyCanceledAt'),
    pressed(cleo, 'dataCopyRequestedAt'),
    pressed(cleo, 'dataCopyRequestedAt'),
    pressed(dan, 'dataCopyRequestedAt'),
    { ...aboutUser(dan), type: 'entityDeleted' },
    ...[ann, bob, cleo, dan].map((user) => pressed(user, 'givenName')),
  ]);
  await until(() => listener.output().match(/^(asked|canceled|deleted): /gm)?.length === 7, 'seven events');
  checkThatNoneIsEarly();
  say('  The listener has all seven events, and no mail has gone out yet.');

  say('\nThe token of Ann comes again, because an answer was lost.');
  const token = await stage.tokenOf(sid, request.id);
  check((await stage.sendAgain(token)) === 202, 'the repeat was not answered with 202');
  say('The listener is killed, and started again.');
  await listener.kill();
  const restarted = await stage.startListener(program, settings);
  checkThatNoneIsEarly();
  say('  The wait goes on, because the listener remembers it in a file.');

  await restarted.printed('mailed', 2);
  say(`\nThe time has come. The outbox has ${mails().length} mails:`);
  const addresses = mails().map(
    (name) => /^To: (.*)\r$/m.exec(readFileSync(join(outbox, name), 'utf8'))?.[1] ?? '',
  );
  for (const address of addresses.sort()) say(`  to ${address}`);
  check(addresses.join() === 'ann@example.com,cleo@example.com', `the mails are to ${addresses.join()}`);

  say('\nThe token of Ann comes once more, after the mail.');
  const before = restarted.output().split('asked: known').length - 1;
  check((await stage.sendAgain(token)) === 202, 'the repeat was not answered with 202');
  await restarted.printed('asked: known', before + 1);
  check(mails().length === 2, 'the repeat sent a second mail');
  say(
    '  No second mail: the listener knows this request. One copy went to Ann, one to Cleo, none to Bob and Dan.',
  );
}

await tell(story);
