/** What the commands share: their session, examples, and the forms of arguments. */
import { readFileSync } from 'node:fs';
import type { ItemOf, WebhooksClient } from '@identity-webhooks/client';
import { type Command, InvalidArgumentError } from 'commander';
import { Failure, usage } from './failure.ts';
import { nearest } from './near.ts';
import { readPrivateFile } from './profiles.ts';
import { readStdin } from './prompt.ts';
import type { Session } from './session.ts';
import { isUuid } from './settings.ts';

/** Gives a command the session of this run. */
export type Begin = () => Session;

export type Subscription = ItemOf<'listSubscriptions'>;

export const EVENT_TYPES = ['entityCreated', 'entityUpdated', 'entityDeleted'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** The last line of the help of each command. */
export const EVERYWHERE = 'Options of every command, such as --json, --profile and --customer: iw --help';

/** Adds examples to the help of a command. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  const shown = lines.map((line) => `  $ ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${shown}\n\n${EVERYWHERE}`);
}

/** `created,updated`, the full names, or `all`. */
export function parseEventTypes(text: string): EventType[] {
  if (text === 'all') return [...EVENT_TYPES];
  return text.split(',').map(parseEventType);
}

export function parseEventType(text: string): EventType {
  const found = EVENT_TYPES.find((type) => type === text || type === `entity${capital(text)}`);
  if (found === undefined) throw new InvalidArgumentError('It is one of created, updated, deleted.');
  return found;
}

/** `created,updated`, `test`, or the full names. @returns them as a query has them (contract 10.12) */
export function parseShownTypes(text: string): string {
  const shown = text.split(',').map((type) => {
    const found = [...EVENT_TYPES, 'test'].find((one) => one === type || one === `entity${capital(type)}`);
    if (found === undefined) throw new InvalidArgumentError('It is one of created, updated, deleted, test.');
    return found;
  });
  return [...new Set(shown)].join(',');
}

const capital = (text: string) => text.slice(0, 1).toUpperCase() + text.slice(1);

/** @returns a parser of whole numbers within bounds */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!/^\d{1,9}$/.test(text) || number < least || number > most) {
      throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
    }
    return number;
  };
}

const UNIT_SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** `90s`, `15m`, `6h`, `2d`. @returns seconds; undefined for another text */
function secondsIn(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * (UNIT_SECONDS[unit] ?? 0);
}

/** @param least seconds @param most seconds @returns a parser of spans of time within bounds, in seconds */
export function parseSeconds(least: number, most: number): (text: string) => number {
  return (text) => {
    const seconds = secondsIn(text);
    if (seconds === undefined || seconds < least || seconds > most) {
      throw new InvalidArgumentError(`It is a time such as 90s, 15m or 6h, from ${least} s to ${most} s.`);
    }
    return seconds;
  };
}

/**
 * An RFC 3339 time, a part of one, or how long ago: `90s`, `15m`, `6h`, `2d`. Without an offset it is in UTC, as tables show times.
 * @returns an RFC 3339 time
 */
export function parseTime(now: () => number): (text: string) => string {
  return (text) => {
    const ago = secondsIn(text);
    if (ago !== undefined) return new Date(now() - ago * 1000).toISOString();
    const [, day = '', clock = 'T00:00', offset = 'Z'] =
      /^(\d{4}-\d\d-\d\d)(?:([T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)(Z|[+-]\d\d:\d\d)?)?$/i.exec(text) ?? [];
    const ms = Date.parse(`${day}${clock.replace(' ', 'T')}${offset}`.toUpperCase());
    // A day that its month does not have would be one of the next month.
    if (Number.isNaN(ms) || !new Date(`${day}T00:00Z`).toISOString().startsWith(day)) {
      throw new InvalidArgumentError(
        'It is a time such as 2026-01-31T12:00:00Z, or how long ago: 90s, 15m, 6h, 2d.',
      );
    }
    return new Date(ms).toISOString();
  };
}

/** The smallest event id (a UUID version 7, RFC 9562) of a millisecond. */
export function eventIdAt(ms: number): string {
  const hex = Math.max(0, Math.floor(ms)).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
}

/** Reads JSON from a file, or from standard input for `-`. @throws Failure when it is not JSON */
export async function readJson(session: Session, file: string, what: string): Promise<unknown> {
  const text = file === '-' ? await readStdin(session.world) : readFileSync(file, 'utf8');
  try {
    return JSON.parse(text);
  } catch (error) {
    throw usage(
      `The ${what} in ${file === '-' ? 'standard input' : file} is not JSON: ${(error as Error).message}`,
    );
  }
}

export async function readFilter(session: Session, file: string): Promise<Record<string, unknown>> {
  const filter = await readJson(session, file, 'filter');
  if (typeof filter === 'object' && filter !== null && !Array.isArray(filter))
    return filter as Record<string, unknown>;
  throw usage('A filter is a JSON object.');
}

/**
 * Finds a subscription by its id, or by its exact title.
 * @returns its id
 * @throws Failure that names similar titles when no subscription has this one
 */
export async function findSubscription(client: WebhooksClient, idOrTitle: string): Promise<string> {
  if (isUuid(idOrTitle)) return idOrTitle;
  const titles: string[] = [];
  for await (const { id, title } of client.items('listSubscriptions')) {
    if (title === idOrTitle) return id;
    titles.push(title);
  }
  const near = nearest(idOrTitle, titles).map((title) => JSON.stringify(title));
  throw new Failure(
    'notFound',
    `There is no subscription with the id or the title ${JSON.stringify(idOrTitle)}.`,
    `${near.length === 0 ? '' : `Did you mean ${near.join(' or ')}? `}See all: iw subscriptions list`,
  );
}

/** @param most undefined for all @returns the first items of a list, and whether there are more */
export async function take<Item>(
  items: AsyncIterable<Item>,
  most: number | undefined,
): Promise<{ readonly taken: Item[]; readonly more: boolean }> {
  const taken: Item[] = [];
  for await (const item of items) {
    if (taken.length === most) return { taken, more: true };
    taken.push(item);
  }
  return { taken, more: false };
}

export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  return (await take(items, undefined)).taken;
}

/** Reads a file that only its owner may read, or standard input for `-`. @throws Failure when there is no file */
export async function readStdinOrPrivateFile({ world }: Session, file: string): Promise<string> {
  if (file === '-') return await readStdin(world);
  const text = readPrivateFile(file);
  if (text === undefined) throw usage(`${file} does not exist.`);
  return text;
}
