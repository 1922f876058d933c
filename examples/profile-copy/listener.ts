/**
 * A listener that sends a user a copy of their data, once, some minutes after they asked for it by a button in their profile.
 *
 *     JWKS_URL=… ISSUER=… AUDIENCE=… PORT=9000 node listener.ts
 *
 * The button sets the attribute `dataCopyRequestedAt`; a second one sets `dataCopyCanceledAt`. The subscription should have the types
 * `entityUpdated` and `entityDeleted`, and the filter in filter.json. `DELAY_SECONDS` (default 300) is the wait, `STATE`
 * (profile-copy.db) the file that remembers it. Tokens have no values, so the listener reads the profile when the copy is due: here from
 * a file in `PROFILES`, where your program asks the API of your identity platform. A mail is a file in `OUTBOX`.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { type Claims, createReceiver, onNode } from '@identity-webhooks/listener';
import { type Act, type Copy, CopyRequests } from './requests.ts';

const { JWKS_URL, ISSUER, AUDIENCE, PORT, STATE, DELAY_SECONDS } = process.env;
const { PROFILES = 'profiles', OUTBOX = 'outbox' } = process.env;
if (!JWKS_URL || !ISSUER || !AUDIENCE) {
  console.error(
    'set JWKS_URL, ISSUER and AUDIENCE\nusage: JWKS_URL=… ISSUER=… AUDIENCE=… [PORT=9000] node listener.ts',
  );
  process.exit(2);
}
const LOOKED_EVERY_MS = 1000;
const requests = new CopyRequests(STATE ?? 'profile-copy.db', Number(DELAY_SECONDS ?? 300));
mkdirSync(OUTBOX, { recursive: true });

const nowSeconds = () => Math.floor(Date.now() / 1000);

/** @returns nothing for a test notification, and for any other event that the filter should have kept away */
function actIn({ iat = 0, toe, events }: Claims): Act | undefined {
  // `toe` says when it happened. A producer whose clock is ahead must not block what the user does next.
  const at = typeof toe === 'number' ? Math.min(toe, iat) : iat;
  const deleted = events['entityDeleted'] as { id: string; globalSub: string } | undefined;
  if (deleted !== undefined) return { kind: 'deleted', user: deleted.globalSub, at, eventId: deleted.id };
  const updated = events['entityUpdated'] as
    | { id: string; globalSub: string; attributes: string[] }
    | undefined;
  if (updated === undefined) return undefined;
  const act = { user: updated.globalSub, at, eventId: updated.id };
  if (updated.attributes.includes('dataCopyCanceledAt')) return { ...act, kind: 'canceled' };
  return updated.attributes.includes('dataCopyRequestedAt') ? { ...act, kind: 'asked' } : undefined;
}

/** @returns nothing if the profile is gone @throws Error if it cannot be read now */
function readProfile(user: string): { readonly email: string } | undefined {
  try {
    return JSON.parse(readFileSync(join(PROFILES, `${encodeURIComponent(user)}.json`), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The request id is the name of the mail: sent again, it replaces itself. A mail server wants it as the Message-ID. */
function send(copy: Copy, profile: { readonly email: string }): void {
  const file = join(OUTBOX, `${copy.requestId}.eml`);
  const lines = [
    `To: ${profile.email.replaceAll(/[\r\n]/g, '')}`,
    'Subject: A copy of your data',
    `Message-ID: <${copy.requestId}@profile-copy.example>`,
    'Content-Type: application/json; charset=utf-8',
    '',
    JSON.stringify(profile, null, 2),
    '',
  ];
  writeFileSync(`${file}.part`, lines.join('\r\n'));
  renameSync(`${file}.part`, file);
}

function sendDue(): void {
  for (const copy of requests.due(nowSeconds())) {
    try {
      const profile = readProfile(copy.user);
      if (profile !== undefined) send(copy, profile);
      requests.markSent(copy);
      console.log(profile === undefined ? 'the profile is gone' : `mailed ${copy.requestId}`);
    } catch (error) {
      console.error('not sent, will be tried again', error); // the copy stays due
    }
  }
}

const receive = createReceiver({
  jwksUrl: JWKS_URL,
  issuer: ISSUER,
  audience: AUDIENCE,
  onEvent: (claims) => {
    const act = actIn(claims);
    if (act !== undefined) console.log(`${act.kind}: ${requests.take(act, nowSeconds())}`);
  },
  onRefused: ({ message }) => console.log(`refused: ${message}`),
  onFailed: (error) => console.error('failed', error),
});
setInterval(sendDue, LOOKED_EVERY_MS);
const server = createServer(onNode(receive));
server.listen(Number(PORT ?? 9000), '127.0.0.1', () => console.log(`listening on port ${PORT ?? 9000}`));
