/**
 * Steps: what the evaluation of a filter costs (contract 4). A step is a small amount of work, such as one call of a check,
 * one look into a set or one row of an automaton; reading a text costs a step for each few characters.
 *
 * A check counts its steps while it works. It also knows a bound: the most steps that it can take on any legal event. The
 * bound decides whether a filter is accepted. It holds because an event is small and of a known shape (contract 10.1).
 */
import { EVENT_TYPES } from '../event.ts';
import {
  ATTRIBUTES_MAX,
  EVENT_MAX_BYTES,
  GLOBAL_SUB_MAX_CHARACTERS,
  NAME_MAX_CHARACTERS,
} from '../limits.ts';

/** Counts the steps of one evaluation. */
export interface Meter {
  steps: number;
}

/** Steps on a text: some for every text, and some for each of its characters (UTF-16 units). */
export interface Cost {
  readonly fixed: number;
  readonly perCharacter: number;
}

/** A part of a compiled filter. */
export interface Check {
  /** Whether the value is valid. */
  test(value: unknown, meter: Meter): boolean;
  /** The most steps that `test` counts on a value of this shape. Only the cost of a text depends on characters. */
  worst(shape: Shape): Cost;
}

/** What a value within the `events` claim can be. */
export type Shape = TextShape | ArrayShape | ObjectShape;

export interface TextShape {
  readonly kind: 'text';
  readonly maxCharacters: number;
}

/** An array of texts. */
export interface ArrayShape {
  readonly kind: 'array';
  readonly maxItems: number;
  /** Characters of all items together. */
  readonly maxCharacters: number;
}

/** An object whose members all have known names. */
export interface ObjectShape {
  readonly kind: 'object';
  readonly members: ReadonlyMap<string, Shape>;
}

/** UTF-16 units of one character. */
const UNITS = 2;
const UUID_CHARACTERS = 36;
/** The default of `globalSub`: a scheme, a host name, an application id, an entity type, a profile's id and their slashes. */
const DEFAULT_GLOBAL_SUB_CHARACTERS = 20 + 253 + UNITS * 2 * NAME_MAX_CHARACTERS + UUID_CHARACTERS;

const text = (maxCharacters: number): TextShape => ({ kind: 'text', maxCharacters });

const claims: readonly (readonly [string, Shape])[] = [
  ['captureApplicationId', text(UNITS * NAME_MAX_CHARACTERS)],
  ['captureClientId', text(UNITS * NAME_MAX_CHARACTERS)],
  ['entityType', text(UNITS * NAME_MAX_CHARACTERS)],
  ['globalSub', text(Math.max(UNITS * GLOBAL_SUB_MAX_CHARACTERS, DEFAULT_GLOBAL_SUB_CHARACTERS))],
  ['id', text(UUID_CHARACTERS)],
  ['sub', text(UUID_CHARACTERS)],
];

/** A character has at least one byte of UTF-8 for each of its units, so the limit of bytes is one of characters. */
const attributes: ArrayShape = {
  kind: 'array',
  maxItems: ATTRIBUTES_MAX,
  maxCharacters: EVENT_MAX_BYTES,
};

/** The `events` claims that can be, one for each type. */
export const CLAIM_SHAPES: readonly ObjectShape[] = EVENT_TYPES.map((type) => ({
  kind: 'object',
  members: new Map([
    [
      type,
      {
        kind: 'object',
        members: new Map(type === 'entityUpdated' ? [...claims, ['attributes', attributes]] : claims),
      },
    ],
  ]),
}));

export const NOTHING: Cost = { fixed: 0, perCharacter: 0 };

/** The same for all checks of a kind: a filter may have thousands of them. */
export const costsNothing = (): Cost => NOTHING;

export function fixed(steps: number): Cost {
  return { fixed: steps, perCharacter: 0 };
}

export function sum(costs: Iterable<Cost>): Cost {
  let all = NOTHING;
  for (const { fixed, perCharacter } of costs) {
    all = { fixed: all.fixed + fixed, perCharacter: all.perCharacter + perCharacter };
  }
  return all;
}

/** A cost that is at least each of the two. */
export function larger(a: Cost, b: Cost): Cost {
  return {
    fixed: Math.max(a.fixed, b.fixed),
    perCharacter: Math.max(a.perCharacter, b.perCharacter),
  };
}

/** All steps of a check on one value of this shape. */
export function worstOf(check: Check, shape: Shape): number {
  const cost = check.worst(shape);
  return cost.fixed + (shape.kind === 'text' ? cost.perCharacter * shape.maxCharacters : 0);
}
