/** Starts what all browser tests share: the service as `npm start` runs it, a producer beside it, and the scripted listener. */
import type { TestProject } from 'vitest/node';
import { findChromium, NO_CHROMIUM } from '../../tools/harness/browser.ts';
import { freePort, launchService, launchWorker, makeHome } from '../../tools/harness/service.ts';
import { startScriptedListener } from '../support/scripted-listener.ts';

/** Waits of a second, so that a failure is final soon. The listener and the service share a machine that may be slow. */
const VARIABLES = { RETRY_DELAYS_SECONDS: '1,1,1,1,1', ATTEMPT_TIMEOUT_SECONDS: '60' };

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const chromium = findChromium();
  if (chromium === undefined) {
    console.warn(`The browser tests are skipped. ${NO_CHROMIUM}`);
    project.provide('browserWorld', undefined);
    return undefined;
  }
  const home = makeHome();
  const service = launchService(home, VARIABLES, await freePort());
  const producer = launchWorker(home, 'examples/producer/wrangler.toml', await freePort());
  const listener = await startScriptedListener();
  const end = async () => {
    await Promise.all([producer.stop(), service.stop(), listener.close()]);
    home.remove();
  };
  try {
    await Promise.all([service.ready(), producer.ready()]);
  } catch (error) {
    await end();
    throw error;
  }
  const { url } = service;
  const { operatorToken } = home;
  project.provide('browserWorld', {
    chromium,
    url,
    operatorToken,
    listenerUrl: listener.url,
    producerUrl: producer.url,
  });
  return end;
}
