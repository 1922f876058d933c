/** The Chromium of this machine, without a window, and what goes wrong in its pages. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

/** A safety net for what a page waits for, ms; far above what it takes on a machine that is ten times slower. */
const GIVE_UP_MS = 240_000;

export const NO_CHROMIUM =
  'Chromium is missing: install it (Debian: apt-get install chromium), or set CHROMIUM to the path of its program';

/** @returns the path of its program; `undefined` where it is not installed */
export function findChromium(): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return CHROMIUM;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
  return PATH.split(delimiter)
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param path from `findChromium` */
export async function launchChromium(path: string): Promise<Browser> {
  return await chromium.launch({
    executablePath: path,
    timeout: GIVE_UP_MS,
    // Without them, colours and widths of letters depend on the machine.
    args: ['--lang=en-GB', '--force-color-profile=srgb', '--font-render-hinting=none', '--hide-scrollbars'],
  });
}

/** A profile of its own: cookies, storage and colour scheme. */
export interface Profile {
  readonly context: BrowserContext;
  /** What went wrong in its pages so far: errors, what the content security policy forbade, answers with a status of 500 or more. */
  readonly faults: readonly string[];
}

/** Says in the console of the page what the policy forbade: it is in front of every script of the page. */
const REPORT_VIOLATIONS = `addEventListener('securitypolicyviolation', (event) =>
  console.error('CSP forbids', event.violatedDirective, event.blockedURI, event.sourceFile, event.sample))`;

export async function newProfile(browser: Browser, options: BrowserContextOptions = {}): Promise<Profile> {
  const context = await browser.newContext({ locale: 'en-GB', timezoneId: 'Europe/Berlin', ...options });
  context.setDefaultTimeout(GIVE_UP_MS);
  context.setDefaultNavigationTimeout(GIVE_UP_MS);
  const faults: string[] = [];
  context.on('console', (message) => {
    const text = message.text();
    // Answers with a status of 4xx are part of the story: no session yet, a refused code.
    const isAnswer = text.startsWith('Failed to load resource');
    if (message.type() === 'error' && !isAnswer) faults.push(`console: ${text}`);
  });
  context.on('weberror', (error) => faults.push(`error: ${error.error().stack ?? error.error().message}`));
  context.on('response', (answer) => {
    if (answer.status() >= 500) faults.push(`${answer.status()}: ${answer.url()}`);
  });
  await context.addInitScript(REPORT_VIOLATIONS);
  return { context, faults };
}

/** What a page has, as far as it is used here: programs of tools run in Node, and know no pages. */
interface InPage {
  readonly document: {
    readonly body: { readonly textContent: string };
    querySelector(selector: string): unknown;
  };
}

/** Waits until the screen that is shown has all its data. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const { document } = globalThis as unknown as InPage;
    const isLoading = document.querySelector('.loading, [aria-busy="true"]') !== null;
    const isVerifying = document.body.textContent.includes('Verifying…');
    return document.querySelector('main h1') !== null && !isLoading && !isVerifying;
  });
}
