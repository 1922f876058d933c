/**
 * The build step of wrangler.toml: in a fresh clone `npx wrangler dev` finds secrets and tables. `npm start` has made them for its own
 * state folder by then. A deployment needs neither.
 */
import { completeSecrets, DEFAULT_STATE, makeSecrets, migrate } from './local.ts';

if (process.env['WRANGLER_COMMAND'] === 'dev' && process.env['IDENTITY_WEBHOOKS_PREPARED'] === undefined) {
  if (makeSecrets()) console.log('made .dev.vars with random secrets');
  completeSecrets();
  migrate(DEFAULT_STATE);
}
