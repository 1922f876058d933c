/**
 * docs/postman.json as a user of Postman runs it, here by newman: from a new customer to the redelivery of an event that failed.
 * The requests of the collection are sent as they are; only their order is chosen here.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type Home,
  makeHome,
  pause,
  type RunningService,
  startService,
} from '../../tools/harness/service.ts';
import { type ScriptedListener, startScriptedListener } from '../support/scripted-listener.ts';

interface Item {
  readonly name: string;
  readonly item?: readonly Item[];
}

interface Collection extends Item {
  readonly item: readonly Item[];
  readonly variable: readonly { readonly key: string; readonly value: string }[];
}

interface Summary {
  readonly run: {
    readonly executions: readonly {
      readonly item: { readonly name: string };
      readonly response?: { readonly code: number; json(): Body };
    }[];
    readonly failures: readonly unknown[];
  };
}

/** The fields of the answers that are read here. */
interface Body {
  readonly id: string;
  readonly access_token: string;
  readonly state: string;
  readonly _embedded: { readonly events: readonly { readonly id: string }[] };
}

interface Newman {
  run(options: object, done: (error: Error | null, summary: Summary) => void): void;
}

const newman = createRequire(join(import.meta.dirname, '../../tools/package.json'))('newman') as Newman;
const collection = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../docs/postman.json'), 'utf8'),
) as Collection;

function requestNamed(name: string): Item {
  const found = collection.item.flatMap(({ item = [] }) => item).find((one) => one.name === name);
  if (found === undefined) throw new Error(`the collection has no request "${name}"`);
  return found;
}

let home: Home;
let service: RunningService;
let listener: ScriptedListener;
/** What a user has filled in. newman forgets what a run has stored, so the second run gets that from here. */
let variables: Record<string, string> = {};

beforeAll(async () => {
  home = makeHome();
  [service, listener] = await Promise.all([startService(home), startScriptedListener()]);
  variables = {
    baseUrl: service.url,
    operatorToken: home.operatorToken,
    endpoint: `${listener.url}/hooks/postman`,
  };
});

afterAll(async () => {
  await service?.stop();
  await listener?.close();
  home?.remove();
});

/** Runs requests of the collection, one after the other. @returns the status of each, and the bodies by name */
async function send(...names: string[]) {
  const chosen = {
    ...collection,
    item: names.map(requestNamed),
    variable: collection.variable.map(({ key, value }) => ({ key, value: variables[key] ?? value })),
  };
  const summary = await new Promise<Summary>((resolve, reject) => {
    newman.run({ collection: chosen, reporters: [] }, (error, done) =>
      error ? reject(error) : resolve(done),
    );
  });
  expect(summary.run.failures).toEqual([]);
  const { executions } = summary.run;
  return {
    statuses: executions.map(({ item, response }) => [item.name, response?.code]),
    bodyOf: (name: string) => {
      const body = executions.find(({ item }) => item.name === name)?.response?.json();
      if (body === undefined) throw new Error(`"${name}" has no answer`);
      return body;
    },
  };
}

describe('the Postman collection', () => {
  it('the requests of the collection lead from a new customer to the redelivery of an event that failed', async () => {
    await fetch(`${listener.url}/scripts/postman`, {
      method: 'PUT',
      body: JSON.stringify([{ status: 302 }, { status: 202 }]),
    });
    const { statuses, bodyOf } = await send(
      'Create a customer',
      'Create a client',
      'Get an access token',
      'Create a subscription',
      'List subscriptions',
      'Publish events',
    );
    expect(statuses).toEqual([
      ['Create a customer', 201],
      ['Create a client', 201],
      ['Get an access token', 200],
      ['Create a subscription', 201],
      ['List subscriptions', 200],
      ['Publish events', 202],
    ]);
    variables = {
      ...variables,
      cid: bodyOf('Create a customer').id,
      accessToken: bodyOf('Get an access token').access_token,
      sid: bodyOf('Create a subscription').id,
      eid: bodyOf('Publish events')._embedded.events[0]?.id ?? '',
    };
    const stateOf = async () => {
      const { statuses: read, bodyOf: body } = await send('Read an event');
      return read[0]?.[1] === 200 ? body('Read an event').state : undefined;
    };
    const deadline = Date.now() + 120_000;
    while ((await stateOf()) !== 'failure' && Date.now() < deadline) await pause(200);
    const redelivered = await send('Read an event', 'Redeliver a failed event');
    expect(redelivered.statuses).toEqual([
      ['Read an event', 200],
      ['Redeliver a failed event', 202],
    ]);
    while ((await stateOf()) !== 'success' && Date.now() < deadline) await pause(200);
    expect((await send('Read an event', "Read an event's history")).statuses.map(([, code]) => code)).toEqual(
      [200, 200],
    );
    expect(await stateOf()).toBe('success');
  });
});
