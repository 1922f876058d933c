/** Keywords for objects. Their values are objects: the compiler calls no other. Only own members exist, `constructor` too. */
import type { Automaton } from './automaton.ts';
import {
  type Check,
  type Cost,
  fixed,
  type Meter,
  NOTHING,
  type ObjectShape,
  type Shape,
  worstOf,
} from './steps.ts';
import { textKey } from './values.ts';

type Members = Readonly<Record<string, unknown>>;

interface MemberChecks {
  /** By the key of the name. */
  readonly named: ReadonlyMap<string | number, Check>;
  readonly patterns: readonly (readonly [Automaton, Check])[];
  /** For members that neither a name nor a pattern matches. */
  readonly others: Check | undefined;
}

/** `properties`, `patternProperties` and `additionalProperties`: each member is met once. */
export function members({ named, patterns, others }: MemberChecks): Check {
  const testMember = (object: Members, name: string, meter: Meter): boolean => {
    meter.steps += 2;
    const own = named.get(textKey(name));
    if (own !== undefined && !own.test(object[name], meter)) return false;
    let known = own !== undefined;
    for (const [pattern, check] of patterns) {
      if (!pattern.test(name, meter)) continue;
      known = true;
      if (!check.test(object[name], meter)) return false;
    }
    return known || others === undefined || others.test(object[name], meter);
  };
  const worstMember = (name: string, shape: Shape): number => {
    const text: Shape = { kind: 'text', maxCharacters: name.length };
    const matching = patterns
      .filter(([pattern]) => pattern.test(name, { steps: 0 }))
      .map(([, check]) => check);
    const own = named.get(textKey(name));
    const checks = own === undefined ? matching : [own, ...matching];
    if (checks.length === 0 && others !== undefined) checks.push(others);
    const reading = patterns.reduce((total, [pattern]) => total + worstOf(pattern, text), 0);
    return checks.reduce((total, check) => total + worstOf(check, shape), 2 + reading);
  };
  return {
    test: (value, meter) => {
      meter.steps += 1;
      const object = value as Members;
      return Object.keys(object).every((name) => testMember(object, name, meter));
    },
    worst: ofObject((shape) =>
      [...shape.members].reduce((total, [name, member]) => total + worstMember(name, member), 1),
    ),
  };
}

export function propertyNames(check: Check): Check {
  return {
    test: (value, meter) =>
      Object.keys(value as Members).every((name) => {
        meter.steps += 1;
        return check.test(name, meter);
      }),
    worst: ofObject((shape) =>
      [...shape.members.keys()].reduce(
        (total, name) => total + 1 + worstOf(check, { kind: 'text', maxCharacters: name.length }),
        0,
      ),
    ),
  };
}

export function required(names: readonly string[]): Check {
  return {
    test: (value, meter) =>
      names.every((name) => {
        meter.steps += 1;
        return Object.hasOwn(value as Members, name);
      }),
    worst: ofObject(() => names.length),
  };
}

/** When an object has the member, the whole object must pass the check. */
export function dependency(name: string, check: Check): Check {
  return {
    test: (value, meter) => {
      meter.steps += 1;
      return !Object.hasOwn(value as Members, name) || check.test(value, meter);
    },
    worst: ofObject((shape) => 1 + (shape.members.has(name) ? worstOf(check, shape) : 0)),
  };
}

const worstOfCount = ofObject((shape) => 1 + shape.members.size);

export function memberCount(min: number, max: number): Check {
  return {
    test: (value, meter) => {
      const { length } = Object.keys(value as Members);
      meter.steps += 1 + length;
      return length >= min && length <= max;
    },
    worst: worstOfCount,
  };
}

function ofObject(worst: (shape: ObjectShape) => number): (shape: Shape) => Cost {
  return (shape) => (shape.kind === 'object' ? fixed(worst(shape)) : NOTHING);
}
