/**
 * One deployment from nothing to a service that answers, or from one version to the next.
 *
 * Every step looks at what is there and adds what is missing, so the command may be repeated, and may die anywhere:
 * - settings and secrets are files that are written whole, before anything is made in the account;
 * - the database and the queues are found by their names;
 * - a secret that the Worker has is never sent again;
 * - migrations are numbered, and D1 knows which it has;
 * - migrations only add (docs/deploying.md), so the old version works while the new one is not there yet.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import { Account } from './account.ts';
import {
  baseUrlOf,
  configurationOf,
  type Deployment,
  databaseOf,
  filesOf,
  isService,
  placeOf,
  queuesOf,
  workerOf,
} from './configuration.ts';
import { Refused } from './refused.ts';
import { keepSettings, makeSecrets, readSecrets, SECRET_NAMES } from './settings.ts';
import type { Wrangler } from './wrangler.ts';

/** How often and how long the new service is asked whether it answers. A new domain waits for its certificate. */
const ASK_TIMES = 60;
const ASK_EVERY_MS = 5_000;

export interface Surroundings {
  /** The folder of the project: `deployments` and `dist` are in it. */
  readonly root: string;
  readonly wrangler: Wrangler;
  /** Whether files stay when the command ends. In a pipeline they do not, so secrets that it made would be lost. */
  readonly keepsFiles: boolean;
  /** Makes the files of the console, which are deployed with the service. */
  buildConsole(): Promise<unknown>;
  /** Whether `GET` of this URL answers 200. Never rejects. */
  answers(url: string): Promise<boolean>;
  wait(ms: number): Promise<void>;
  say(line: string): void;
}

/** @throws Refused when it cannot begin or go on */
export async function deploy(deployment: Deployment, around: Surroundings): Promise<void> {
  const { root, wrangler, say } = around;
  const files = filesOf(root, deployment);
  const account = new Account(wrangler, files.configuration);
  const worker = workerOf(deployment);
  const place = placeOf(deployment);
  const step = (name: string, done: string) => say(`  ${name.padEnd(12)}${done}`);
  const shown = (file: string) => relative(root, file);
  say(`${worker}${isService(deployment) ? ` at ${baseUrlOf(deployment)}` : ''}`);

  writeConfiguration(deployment, files.configuration);
  if (isService(deployment)) {
    const isNew = keepSettings(files.settings, deployment.settings);
    step('settings', `${shown(files.settings)} ${isNew ? 'made: commit it' : 'read'}`);
  }
  const database = databaseOf(deployment);
  const found = database && (database.id ?? (await account.findDatabase(database.name, place)));
  if (found !== undefined) writeConfiguration(deployment, files.configuration, found);
  const missing = isService(deployment)
    ? await missingSecrets(account, worker, {
        file: files.secrets,
        shown: shown(files.secrets),
        hasDatabase: found !== undefined,
        mayMake: around.keepsFiles,
      })
    : undefined;
  if (missing !== undefined) step('secrets', missing.done);

  if (database !== undefined) {
    if (found === undefined) {
      await account.makeDatabase(database.name, place);
      const id = await account.findDatabase(database.name, place);
      if (id === undefined)
        throw new Refused(`The database ${database.name} was made and is not listed yet. Repeat.`);
      writeConfiguration(deployment, files.configuration, id);
    }
    step('database', `${database.name} ${found === undefined ? 'made' : 'found'}`);
  }
  const queues = queuesOf(deployment);
  let made = 0;
  for (const queue of queues) made += (await account.provideQueue(queue, place)) ? 1 : 0;
  step('queues', `${queues.length}, of these ${made} made; messages are kept for 14 days`);
  const binding = deployment.raw.d1_databases?.[0]?.binding;
  if (binding !== undefined) {
    await account.migrate(binding);
    step('migrations', 'applied');
  }
  if (isService(deployment)) {
    await around.buildConsole();
    step('console', 'built');
  }
  const { targets } = await upload(account, files.upload, missing?.secrets ?? {});
  step('Worker', `deployed: ${targets.join(', ') || 'no address'}`);
  if (!isService(deployment)) return;
  if (missing !== undefined && missing.absent.length > 0) {
    say('');
    say(
      `The Worker has no ${missing.absent.join(', ')}, and answers 500 without them. A pipeline makes no secrets, because nobody`,
    );
    say('could keep a copy. Set them by `wrangler secret bulk`, or deploy once from a machine of yours.');
    return;
  }
  await untilItAnswers(baseUrlOf(deployment), targets, around);
  step('answers', `${baseUrlOf(deployment)}/healthz`);
  sayWhatIsNext(deployment, shown(files.secrets), readSecrets(files.secrets) !== undefined, say);
}

/** Prints what a deployment would do, and builds the Worker as it would be. It reaches no account, and keeps no setting. */
export async function rehearse(deployment: Deployment, around: Surroundings): Promise<void> {
  const { root, wrangler, say } = around;
  const files = filesOf(root, deployment);
  const { jurisdiction, location } = placeOf(deployment);
  const database = databaseOf(deployment);
  say(`${workerOf(deployment)}${isService(deployment) ? ` at ${baseUrlOf(deployment)}` : ''}`);
  if (isService(deployment)) {
    say(`  jurisdiction ${jurisdiction ?? 'none'}, location ${location ?? 'near the first call'}`);
    say(`  settings    ${relative(root, files.settings)}`);
    say(
      `  secrets     ${SECRET_NAMES.join(', ')}: those that the Worker lacks, from ${relative(root, files.secrets)}`,
    );
  }
  if (database !== undefined) say(`  database    ${database.name}, then its migrations`);
  for (const queue of queuesOf(deployment)) say(`  queue       ${queue}, for 14 days`);
  writeConfiguration(deployment, files.configuration, database?.id);
  if (isService(deployment)) {
    await around.buildConsole();
    say('  console     built');
  }
  const printed = await new Account(wrangler, files.configuration).rehearse(files.bundle);
  say(printed.trim());
  say(`Nothing was changed. The configuration is in ${relative(root, files.configuration)}.`);
}

function writeConfiguration(deployment: Deployment, file: string, databaseId?: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(configurationOf(deployment, file, databaseId), null, 2)}\n`);
}

interface Missing {
  /** What the Worker gets with this deployment. */
  readonly secrets: Readonly<Record<string, string>>;
  /** What it does not get, either. */
  readonly absent: readonly string[];
  readonly done: string;
}

interface SecretsOf {
  readonly file: string;
  /** The file as messages name it. */
  readonly shown: string;
  readonly hasDatabase: boolean;
  readonly mayMake: boolean;
}

/** The secrets that the Worker does not have, from the file, which is made when there is none. */
async function missingSecrets(account: Account, worker: string, of: SecretsOf): Promise<Missing> {
  const { file, shown, hasDatabase, mayMake } = of;
  const there = await account.secretsOf(worker);
  const names = SECRET_NAMES.filter((name) => !there.includes(name));
  if (names.length === 0) return { secrets: {}, absent: [], done: 'the Worker has them; they stay' };
  const kept = readSecrets(file);
  const absent = names.filter((name) => kept?.[name] === undefined);
  if (kept !== undefined && absent.length > 0) {
    throw new Refused(
      `The Worker has no ${absent.join(', ')}, and neither has ${shown}. Add what is missing.`,
    );
  }
  const losesKeys = kept === undefined && names.includes('KEY_ENCRYPTION_KEY') && hasDatabase;
  if (losesKeys && (await account.hasSigningKeys())) {
    throw new Refused(
      `The database has signing keys, and neither the Worker nor this machine has the KEY_ENCRYPTION_KEY that opens them. Put your copy of it into ${shown}, together with OPERATOR_TOKEN and TOKEN_SIGNING_KEY.`,
    );
  }
  if (kept === undefined && !mayMake) return { secrets: {}, absent: names, done: 'missing' };
  const secrets = kept ?? makeSecrets(file, names);
  return {
    secrets: Object.fromEntries(names.map((name) => [name, secrets[name] ?? ''])),
    absent: [],
    done: `${shown} ${kept === undefined ? 'made: keep a copy where you keep secrets' : 'read'}`,
  };
}

/** Deploys with the secrets that are missing. Their file is there only while wrangler reads it. */
async function upload(account: Account, file: string, secrets: Readonly<Record<string, string>>) {
  rmSync(file, { force: true });
  if (Object.keys(secrets).length === 0) return await account.deploy();
  try {
    // JSON, because wrangler replaces $NAME in the other form.
    writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
    return await account.deploy(file);
  } finally {
    rmSync(file, { force: true });
  }
}

async function untilItAnswers(
  baseUrl: string,
  targets: readonly string[],
  { answers, wait }: Surroundings,
): Promise<void> {
  for (let asked = 0; asked < ASK_TIMES; asked++) {
    if (asked > 0) await wait(ASK_EVERY_MS);
    if (await answers(`${baseUrl}/healthz`)) return;
  }
  throw new Refused(
    `The Worker is deployed at ${targets.join(', ') || 'no address'}, and ${baseUrl}/healthz does not answer 200 after ${(ASK_TIMES * ASK_EVERY_MS) / 60_000} minutes. A new domain may take longer: repeat the command. If BASE_URL is wrong, change it in deployments/. If the answer is 500, \`npx wrangler tail\` names the variable.`,
  );
}

function sayWhatIsNext(
  deployment: Deployment,
  secrets: string,
  hasSecrets: boolean,
  say: (line: string) => void,
): void {
  const profile = deployment.name === undefined ? '' : ` --profile ${deployment.name}`;
  const login = `npx iw login ${baseUrlOf(deployment)} --operator${profile}`;
  say('');
  say('Next, log in as the operator and create a customer:');
  say(
    hasSecrets
      ? `  node -p "JSON.parse(require('fs').readFileSync('${secrets}')).OPERATOR_TOKEN" | ${login} --secret-stdin`
      : `  ${login}`,
  );
  say(`  npx iw customers create Acme --use${profile}`);
}
