/** Starts one scripted listener for all tests inside the runtime, and gives them its URL. */
import type { TestProject } from 'vitest/node';
import { startScriptedListener } from './scripted-listener.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const listener = await startScriptedListener();
  project.provide('listenerUrl', listener.url);
  return () => listener.close();
}
