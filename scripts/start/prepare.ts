/**
 * The build step of wrangler.toml: in a fresh clone `npx wrangler dev` finds the console, secrets and tables. `npm start` has made them
 * for its own state folder by then. A deployment needs the console alone, and always builds it.
 */
import { buildConsole, isConsoleOld } from '../console.ts';
import { completeSecrets, DEFAULT_STATE, makeSecrets, migrate } from './local.ts';

const isLocal = process.env['WRANGLER_COMMAND'] === 'dev';
if (!isLocal || isConsoleOld()) {
  await buildConsole();
  console.log('built the console to public/console');
}
if (isLocal && process.env['IDENTITY_WEBHOOKS_PREPARED'] === undefined) {
  if (makeSecrets()) console.log('made .dev.vars with random secrets');
  completeSecrets();
  migrate(DEFAULT_STATE);
}
