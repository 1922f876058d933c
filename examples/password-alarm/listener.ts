/**
 * A listener that raises an alarm when many passwords of one application change within a short time.
 *
 *     JWKS_URL=… ISSUER=… AUDIENCE=… PORT=9000 node listener.ts
 *
 * `CHANGES` (default 5) within `WITHIN_SECONDS` (60) raise an alarm; `STATE` (password-alarm.db) is the file that it counts in. Its
 * subscription should have the type `entityUpdated` and the filter in filter.json, so that nothing else comes. An alarm is a
 * line on the standard output here: call your pager instead.
 */
import { createServer } from 'node:http';
import { type Claims, createReceiver, onNode } from '@identity-webhooks/listener';
import { type Alarm, type Change, PasswordAlarm } from './alarm.ts';

const { JWKS_URL, ISSUER, AUDIENCE, PORT, STATE, CHANGES, WITHIN_SECONDS } = process.env;
if (!JWKS_URL || !ISSUER || !AUDIENCE) {
  console.error(
    'set JWKS_URL, ISSUER and AUDIENCE\nusage: JWKS_URL=… ISSUER=… AUDIENCE=… [PORT=9000] node listener.ts',
  );
  process.exit(2);
}
const rule = { changes: Number(CHANGES ?? 5), within: Number(WITHIN_SECONDS ?? 60) };
const alarm = new PasswordAlarm(STATE ?? 'password-alarm.db', rule);

/** @returns nothing for a test notification, and for any other event that the filter should have kept away */
function changeIn({ jti, iat = 0, toe, events }: Claims): Change | undefined {
  const event = events['entityUpdated'] as { captureApplicationId: string; attributes: string[] } | undefined;
  if (!event?.attributes.includes('password')) return undefined;
  // `toe` says when it happened. A producer whose clock is ahead must not write changes into the future.
  const at = typeof toe === 'number' ? Math.min(toe, iat) : iat;
  return { jti, application: event.captureApplicationId, at };
}

function send({ application, first, last }: Alarm): void {
  const time = (seconds: number) => new Date(seconds * 1000).toISOString();
  console.log(
    `ALARM: many password changes in the application ${application}, from ${time(first)} to ${time(last)}`,
  );
}

function sendAlarms(): void {
  for (const one of alarm.unsent()) {
    send(one);
    alarm.markSent(one);
  }
}

const receive = createReceiver({
  jwksUrl: JWKS_URL,
  issuer: ISSUER,
  audience: AUDIENCE,
  onEvent: (claims) => {
    const change = changeIn(claims);
    if (change === undefined) return;
    const noted = alarm.note(change, Math.floor(Date.now() / 1000));
    console.log(`${noted}: a password change in the application ${change.application}`);
    sendAlarms();
  },
  onRefused: ({ message }) => console.log(`refused: ${message}`),
  onFailed: (error) => console.error('failed', error),
});
sendAlarms(); // those that were raised before a restart
const server = createServer(onNode(receive));
server.listen(Number(PORT ?? 9000), '127.0.0.1', () => console.log(`listening on port ${PORT ?? 9000}`));
