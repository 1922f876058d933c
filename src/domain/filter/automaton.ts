/**
 * Patterns as tables. RE2 (`re2js`) reads a pattern and knows, for each state of its automaton and each class of
 * characters, which state is next. That is asked once for every state, when the pattern is compiled. Afterwards a match is one
 * look into a table for each character, whatever the pattern is: no text can make it slower.
 *
 * RE2 has neither look-around nor back-references. A pattern whose automaton has too many states is refused.
 */
import { RE2JS } from 're2js';
import { ATTRIBUTES_MAX, EVENT_MAX_BYTES, FILTER_PATTERNS_MAX_SIZE } from '../limits.ts';
import { stepsToRead } from './pattern-cost.ts';
import { type Check, type Cost, type Meter, NOTHING } from './steps.ts';

export interface Automaton extends Check {
  test(text: unknown, meter: Meter): boolean;
  /** Whether it is a table. One that is not, of a filter that was accepted long ago, is still evaluated. */
  readonly isTable: boolean;
  /** Instructions of the compiled pattern. */
  readonly size: number;
  /** Steps to build it. */
  readonly buildSteps: number;
  /** What it keeps in memory, about. */
  readonly bytes: number;
}

/** The parts of `re2js` that build an automaton. They are not in its types; a test fails if an upgrade changes them. */
interface Builder {
  stateBudget: number;
  memBudget: number;
  readonly numClasses: number;
  readonly classBounds: Int32Array;
  start(input: { context(position: number): number }, position: number): BuilderState | null;
  step(state: BuilderState, group: number, character: number, anchor: number): BuilderState | null;
}

interface BuilderState {
  readonly nfaStates: readonly number[];
  readonly isMatch: boolean;
}

const BEGIN_TEXT = 4;
const UNANCHORED = 0;
const END_TEXT = -1;
const LATIN = 256;
/** The table of the first characters, and the objects around the tables. */
const BYTES_A_TABLE = 2 * LATIN + 1000;
/** States times classes of characters. */
const MAX_ENTRIES = 16_384;
/** Instructions that RE2 visits while it builds the table. */
const MAX_VISITS = 50_000;
/** Building is charged a tenth of its time: an isolate builds a pattern once, and evaluates it for many events. */
const STEPS_A_VISIT = 2;

/** Without a table, RE2 may visit every instruction for each character. */
const SEARCH_STEPS = 4;
/** More than any limit: no filter with such a pattern is accepted again. */
const SEARCH_BUILD_STEPS = 1_000_000_000;
/** Memory for the states that RE2 keeps of a pattern without a table. */
const SEARCH_BYTES = 500_000;

/** With a table, two looks into it are a step. With many classes the class of a character takes a search, so one is. */
const CHARACTERS_A_STEP = 2;
const MANY_CLASSES = 64;
/** A character is at most two UTF-16 units, and units are counted. */
const UNITS = 2;

/** The end of a path: the answer is known, whatever follows. */
const YES = -1;
const NO = -2;

interface Table {
  /** For each state and class the next state; the last class is the end of the text. */
  readonly next: Int16Array;
  readonly classes: number;
  readonly bounds: Int32Array;
  readonly visits: number;
}

/** Steps to compile a pattern, as far as its text alone shows. It is known before RE2 sees the pattern. */
export function stepsToCompile(pattern: string): number {
  return stepsToRead(RE2JS.translateRegExp(pattern));
}

/**
 * A pattern that matches anywhere in a text, as ECMA 262 says with the flag `u`, with two differences: `.` matches `\r` and
 * U+2028 and U+2029, and `\s` is ASCII only.
 * @throws Error when RE2 cannot express it
 */
export function compilePattern(pattern: string): Automaton {
  const translated = RE2JS.translateRegExp(pattern);
  const re = RE2JS.compile(translated);
  const size = re.programSize();
  const builder = re.re2().dfa as Builder;
  const table = size > FILTER_PATTERNS_MAX_SIZE ? undefined : tableOf(builder);
  if (table !== undefined) return byTable(table, size, stepsToRead(translated));
  builder.stateBudget = SEARCH_BYTES;
  builder.memBudget = SEARCH_BYTES;
  return bySearch(re, size);
}

function bySearch(re: RE2JS, size: number): Automaton {
  const perCharacter = SEARCH_STEPS * size;
  return {
    test: (value, meter) => {
      meter.steps += perCharacter * ((value as string).length + 1);
      return re.test(value as string);
    },
    worst: (shape) => (shape.kind === 'text' ? { fixed: perCharacter, perCharacter } : NOTHING),
    isTable: false,
    size,
    buildSteps: SEARCH_BUILD_STEPS,
    bytes: SEARCH_BYTES,
  };
}

function byTable({ next, classes, bounds, visits }: Table, size: number, readSteps: number): Automaton {
  const latin = Uint16Array.from({ length: LATIN }, (_, character) => classOf(bounds, character));
  const width = classes + 1;
  const charactersAStep = classes > MANY_CLASSES ? 1 : CHARACTERS_A_STEP;
  const cost = worstOfTable(next, width, charactersAStep);
  return {
    test: (value, meter) => {
      const text = value as string;
      let state = 0;
      let index = 0;
      while (index < text.length) {
        let character = text.charCodeAt(index);
        index += 1;
        if (character >= 0xd800 && character < 0xdc00 && index < text.length) {
          character = text.codePointAt(index - 1) as number;
          if (character > 0xffff) index += 1;
        }
        const group = character < LATIN ? (latin[character] as number) : classOf(bounds, character);
        state = next[state * width + group] as number;
        if (state < 0) break;
      }
      meter.steps += 2 + Math.floor(index / charactersAStep);
      return (state < 0 ? state : (next[state * width + classes] as number)) === YES;
    },
    worst: (shape) => (shape.kind === 'text' ? cost : NOTHING),
    isTable: true,
    size,
    buildSteps: readSteps + STEPS_A_VISIT * (visits + size),
    bytes: next.byteLength + bounds.byteLength + BYTES_A_TABLE,
  };
}

/** The class of a character: how many bounds are at or below it. */
function classOf(bounds: Int32Array, character: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((bounds[middle] as number) <= character) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Asks RE2 for every state. @returns `undefined` when there are too many */
function tableOf(builder: Builder): Table | undefined {
  const first = builder.start({ context: () => BEGIN_TEXT }, 0);
  if (first === null) return undefined;
  const classes = builder.numClasses;
  const numbers = new Map<BuilderState, number>([[first, 0]]);
  const states = [first];
  const rows: number[] = [];
  let visits = 0;
  for (let state = first, index = 0; index < states.length; index++) {
    state = states[index] as BuilderState;
    visits += (classes + 1) * (state.nfaStates.length + 1);
    if (visits > MAX_VISITS || states.length * (classes + 1) > MAX_ENTRIES) return undefined;
    for (let group = 0; group <= classes; group++) {
      const character =
        group === classes ? END_TEXT : group === 0 ? 0 : (builder.classBounds[group - 1] as number);
      const next = builder.step(state, group, character, UNANCHORED);
      if (next === null) return undefined;
      if (next.isMatch || group === classes) {
        rows.push(next.isMatch ? YES : NO);
        continue;
      }
      let number = numbers.get(next);
      if (number === undefined) {
        number = states.length;
        numbers.set(next, number);
        states.push(next);
      }
      rows.push(number);
    }
  }
  return { next: withoutDeadEnds(rows, classes + 1), classes, bounds: builder.classBounds, visits };
}

/** A state from which no text leads to a match answers at once. */
function withoutDeadEnds(rows: readonly number[], width: number): Int16Array {
  const sources = new Map<number, number[]>();
  for (const [entry, target] of rows.entries()) {
    const known = sources.get(target);
    if (known === undefined) sources.set(target, [Math.floor(entry / width)]);
    else known.push(Math.floor(entry / width));
  }
  const alive = new Set<number>([YES]);
  const waiting = [YES];
  for (let target = waiting.pop(); target !== undefined; target = waiting.pop()) {
    for (const source of sources.get(target) ?? []) {
      if (alive.has(source)) continue;
      alive.add(source);
      waiting.push(source);
    }
  }
  return Int16Array.from(rows, (target) => (target === NO || alive.has(target) ? target : NO));
}

/**
 * A table without a cycle reads a few characters of any text: the longest path. One with a cycle, or with a path that is
 * longer than the texts of a large event are on average, can read all of them.
 */
function worstOfTable(next: Int16Array, width: number, charactersAStep: number): Cost {
  const longest = new Map<number, number>();
  const under = new Set<number>();
  const walk = (state: number): number => {
    if (state < 0) return 0;
    const known = longest.get(state);
    if (known !== undefined) return known;
    if (under.has(state) || under.size > 500) return Number.POSITIVE_INFINITY;
    under.add(state);
    let most = 0;
    for (let group = 0; group < width - 1; group++) {
      most = Math.max(most, 1 + walk(next[state * width + group] as number));
      if (most === Number.POSITIVE_INFINITY) break;
    }
    under.delete(state);
    longest.set(state, most);
    return most;
  };
  const characters = walk(0);
  return UNITS * characters > EVENT_MAX_BYTES / ATTRIBUTES_MAX
    ? { fixed: 2, perCharacter: 1 / charactersAStep }
    : { fixed: 2 + (UNITS * characters) / charactersAStep, perCharacter: 0 };
}
