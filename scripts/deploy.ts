/**
 * `npm run deploy -- --name prod --domain webhooks.your.domain`: makes what is missing in the account, migrates, deploys, and
 * waits until the service answers. A repeat is safe. docs/deploying.md says the rest.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { experimental_readRawConfig } from 'wrangler';
import { buildConsole } from './console.ts';
import { checkName, type Deployment, filesOf, type RawConfig } from './deploy/configuration.ts';
import { deploy, rehearse, type Surroundings } from './deploy/deploy.ts';
import { Refused } from './deploy/refused.ts';
import { readSettings } from './deploy/settings.ts';
import { wranglerIn } from './deploy/wrangler.ts';

const USAGE = `npm run deploy -- [flags]
  --name NAME           begins every name in the account; without it the names of wrangler.toml are used
  --domain HOST         answer there: a host name of a zone of your account
  --base-url URL        answer there, without a domain: https://{Worker}.{your subdomain}.workers.dev
  --jurisdiction J      eu, us or fedramp: data stays there. It is for ever (docs/residency.md)
  --location L          wnam, enam, weur, eeur, apac or oc: where database and event stores are asked to be
  --config FILE         another Worker, such as examples/producer/wrangler.toml
  --dry-run             print the plan and build; change nothing
--domain, --base-url, --jurisdiction and --location are given once: deployments/NAME.json remembers them.`;

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

async function main(): Promise<void> {
  const { values } = readFlags();
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const source = resolve(root, values.config ?? 'wrangler.toml');
  const { rawConfig } = experimental_readRawConfig({ config: source });
  const raw = rawConfig as RawConfig;
  // A script can pass --name=$NAME also when NAME is empty.
  const name = values.name === undefined || values.name === '' ? undefined : checkName(values.name);
  const unsettled: Deployment = { name, source, raw, settings: {} };
  const settings = readSettings(filesOf(root, unsettled).settings, {
    baseUrl: values['base-url'],
    domain: values.domain,
    jurisdiction: values.jurisdiction,
    location: values.location,
  });
  const around: Surroundings = {
    root,
    wrangler: wranglerIn(root),
    keepsFiles: process.env['CI'] === undefined,
    buildConsole,
    answers: async (url) => {
      try {
        return (await fetch(url, { signal: AbortSignal.timeout(10_000) })).ok;
      } catch {
        return false;
      }
    },
    wait: (ms) => new Promise((done) => setTimeout(done, ms)),
    say: (line) => console.log(line),
  };
  const go = values['dry-run'] === true ? rehearse : deploy;
  await go({ ...unsettled, settings }, around);
}

function readFlags() {
  const text = { type: 'string' } as const;
  const yes = { type: 'boolean' } as const;
  try {
    return parseArgs({
      options: {
        name: text,
        domain: text,
        'base-url': text,
        jurisdiction: text,
        location: text,
        config: text,
        'dry-run': yes,
        help: yes,
      },
    });
  } catch (error) {
    throw new Refused(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof Refused)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
