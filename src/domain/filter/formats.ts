/**
 * The formats that filters know (contract 4). Each reads a text a fixed number of times: no regular expression here can
 * match one part of a text in two ways, so none backtracks.
 */
import { isIpv4, isIpv6 } from './addresses.ts';
import type { Cost } from './steps.ts';
import { isUri, isUriReference, isUriTemplate } from './uris.ts';

interface Format {
  test(text: string): boolean;
  readonly steps: Cost;
}

/** A regular expression or two, read once each. */
const SMALL: Cost = { fixed: 4, perCharacter: 1 };
/** Several parts, each read again. */
const LARGE: Cost = { fixed: 20, perCharacter: 4 };
/** The engine makes an error for a text that is not a regular expression, which takes long. */
const REGEX: Cost = { fixed: 2000, perCharacter: 20 };

export const FORMATS: Readonly<Record<string, Format>> = {
  date: { test: isDate, steps: SMALL },
  time: { test: isTime, steps: SMALL },
  'date-time': { test: isDateTime, steps: LARGE },
  duration: { test: isDuration, steps: LARGE },
  uri: { test: isUri, steps: LARGE },
  'uri-reference': { test: isUriReference, steps: LARGE },
  'uri-template': { test: isUriTemplate, steps: LARGE },
  email: { test: isEmail, steps: LARGE },
  hostname: { test: isHostname, steps: LARGE },
  ipv4: { test: isIpv4, steps: SMALL },
  ipv6: { test: isIpv6, steps: LARGE },
  uuid: { test: (text) => UUID.test(text), steps: SMALL },
  regex: { test: isRegex, steps: REGEX },
  'json-pointer': { test: isJsonPointer, steps: SMALL },
  'relative-json-pointer': { test: isRelativeJsonPointer, steps: SMALL },
};

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const DATE = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/;
const TIME = /^([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?(?:z|([+-])([0-9]{2}):([0-9]{2}))$/i;
const MINUTES_A_DAY = 24 * 60;

/** `full-date` of RFC 3339. */
function isDate(text: string): boolean {
  const [, year = '', month = '', day = ''] = DATE.exec(text) ?? [];
  if (year === '') return false;
  return Number(month) >= 1 && Number(month) <= 12 && Number(day) >= 1 && Number(day) <= days(+year, +month);
}

function days(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** `full-time` of RFC 3339. A leap second is the last second of a day in UTC. */
function isTime(text: string): boolean {
  const [whole, hour = '', minute = '', second = '', sign, offsetHour = '0', offsetMinute = '0'] =
    TIME.exec(text) ?? [];
  if (whole === undefined) return false;
  if (+hour > 23 || +minute > 59 || +second > 60 || +offsetHour > 23 || +offsetMinute > 59) return false;
  if (+second < 60) return true;
  const offset = (sign === '-' ? -1 : 1) * (+offsetHour * 60 + +offsetMinute);
  return (+hour * 60 + +minute - offset + MINUTES_A_DAY) % MINUTES_A_DAY === MINUTES_A_DAY - 1;
}

/** `date-time` of RFC 3339, whose `T` may also be white space. */
function isDateTime(text: string): boolean {
  return isDate(text.slice(0, 10)) && /^[t\s]$/i.test(text.charAt(10)) && isTime(text.slice(11));
}

const DURATION = /^P(?:[0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T([0-9]+H)?([0-9]+M)?([0-9]+S)?)?)$/;

/** `duration` of RFC 3339, appendix A: units follow each other without a gap. */
function isDuration(text: string): boolean {
  const found = DURATION.exec(text);
  if (found === null) return false;
  if (text.endsWith('W')) return true;
  const [, year, month, day, time, hour, minute, second] = found;
  if (year !== undefined && day !== undefined && month === undefined) return false;
  if (time === undefined) return [year, month, day].some((unit) => unit !== undefined);
  if (hour !== undefined && second !== undefined && minute === undefined) return false;
  return time !== 'T';
}

const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/** A host name of RFC 1123, without a dot at its end. */
function isHostname(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label));
}

const LOCAL_PART = /^[a-z0-9!#$%&'*+/=?^_`{|}~.-]+$/i;
const QUOTED_LOCAL_PART = /^"(?:[ !#-[\]-~]|\\[ -~])*"$/;

/** An address of RFC 5321: a local part, quoted or not, and a host name or an address in brackets. */
function isEmail(text: string): boolean {
  // The local part of an accepted address is short, and a host has no @.
  const at = text.lastIndexOf('@');
  const local = text.slice(0, Math.max(at, 0));
  const host = text.slice(at + 1);
  if (local === '' || local.length > 64 || host.length > 253) return false;
  const isLocal = local.startsWith('"')
    ? QUOTED_LOCAL_PART.test(local)
    : LOCAL_PART.test(local) && local.split('.').every((part) => part !== '');
  if (!isLocal) return false;
  if (!host.startsWith('[') || !host.endsWith(']')) return isHostname(host);
  const address = host.slice(1, -1);
  return /^ipv6:/i.test(address) ? isIpv6(address.slice(5)) : isIpv4(address);
}

/**
 * A regular expression of ECMA 262. `\Z` is not one there. Unicode classes and the flags of a group are not known here
 * (contract 4): the engine takes up to half a millisecond for one of them.
 */
function isRegex(text: string): boolean {
  if (/[^\\]\\Z|\\p|\(\?[a-z-]/i.test(text)) return false;
  try {
    new RegExp(text, 'u');
    return true;
  } catch {
    return false;
  }
}

/** RFC 6901: `~` is followed by 0 or 1. */
function isJsonPointer(text: string): boolean {
  return (text === '' || text.startsWith('/')) && !/~(?![01])/.test(text);
}

function isRelativeJsonPointer(text: string): boolean {
  const steps = /^(?:0|[1-9][0-9]*)/.exec(text)?.[0];
  if (steps === undefined) return false;
  const rest = text.slice(steps.length);
  return rest === '#' || isJsonPointer(rest);
}
