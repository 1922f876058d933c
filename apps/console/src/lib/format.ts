/** Numbers, times and ids as people read them. Pure: the present time and the locale come in as arguments. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration with at most two units: `850 ms`, `4.2 s`, `3 min 20 s`, `2 d 4 h`. */
export function duration(value: number): string {
  const ms = Math.max(0, Math.round(value));
  if (ms < SECOND) return `${ms} ms`;
  if (ms < 10 * SECOND) return `${(Math.floor(ms / 100) / 10).toString()} s`;
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return two(ms, MINUTE, 'min', SECOND, 's');
  if (ms < DAY) return two(ms, HOUR, 'h', MINUTE, 'min');
  return two(ms, DAY, 'd', HOUR, 'h');
}

function two(ms: number, large: number, largeName: string, small: number, smallName: string): string {
  const rest = Math.floor((ms % large) / small);
  return `${Math.floor(ms / large)} ${largeName}${rest > 0 ? ` ${rest} ${smallName}` : ''}`;
}

/** How long until a time that counts down: `0:07`, `4:59`, `23:59:59`. A time that has passed is `0:00`. */
export function countdown(until: number, now: number): string {
  const seconds = Math.max(0, Math.ceil((until - now) / SECOND));
  const pad = (value: number) => String(value).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

/** `just now`, `5 min ago`, `in 3 h`; a day and more away it is the date that matters, and the answer is undefined. */
export function relative(time: number, now: number): string | undefined {
  const away = Math.abs(now - time);
  if (away >= DAY) return undefined;
  if (away < 5 * SECOND) return 'just now';
  const text =
    away < MINUTE
      ? `${Math.floor(away / SECOND)} s`
      : away < HOUR
        ? `${Math.floor(away / MINUTE)} min`
        : `${Math.floor(away / HOUR)} h`;
  return time > now ? `in ${text}` : `${text} ago`;
}

/** A time in the reader's zone: the date is left out when it is that of `now`, and the year when it is this one. */
export function localTime(time: number, now: number, locale?: string, timeZone?: string): string {
  const part = (options: Intl.DateTimeFormatOptions, at: number) =>
    new Intl.DateTimeFormat(locale, { ...options, ...(timeZone && { timeZone }) }).format(at);
  const day: Intl.DateTimeFormatOptions = { year: 'numeric', month: 'short', day: 'numeric' };
  const clock = part({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }, time);
  if (part(day, time) === part(day, now)) return clock;
  const sameYear = part({ year: 'numeric' }, time) === part({ year: 'numeric' }, now);
  return `${part(sameYear ? { month: 'short', day: 'numeric' } : day, time)}, ${clock}`;
}

/** The same time in UTC, for the hint under the pointer: `2026-01-31 12:00:00.000 UTC`. */
export function utcTime(time: number): string {
  return `${new Date(time).toISOString().replace('T', ' ').replace('Z', '')} UTC`;
}

export function count(value: number, locale?: string): string {
  return new Intl.NumberFormat(locale).format(value);
}

/** `1 event`, `2 events`, `1,200 events`. */
export function counted(value: number, one: string, many = `${one}s`, locale?: string): string {
  return `${count(value, locale)} ${value === 1 ? one : many}`;
}

export function percent(part: number, whole: number): string {
  if (whole === 0) return '–';
  const value = (100 * part) / whole;
  // Near everything and near nothing a tenth matters: 99.99 % must not look like all of it, nor 0.01 % like none.
  const tenths = value > 90 ? Math.floor(value * 10) / 10 : Math.ceil(value * 10) / 10;
  const isNearAnEnd = (value > 90 && value < 100) || (value > 0 && value < 10);
  return `${isNearAnEnd ? tenths.toFixed(1) : Math.round(value)} %`;
}

export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, value > 0 ? Math.floor(Math.log10(value) / 3) : 0);
  const scaled = value / 1000 ** power;
  return `${scaled >= 100 || power === 0 ? Math.round(scaled) : scaled.toFixed(1)} ${units[power]}`;
}

/** The beginning and the end of a long id. Ids of one hour share their beginning, so the end has more of it. */
export function shortId(id: string): string {
  return id.length > 14 ? `${id.slice(0, 4)}…${id.slice(-8)}` : id;
}

/** `datetime-local` to RFC 3339, and empty to undefined. */
export function fromLocalInput(value: string): string | undefined {
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : new Date(time).toISOString();
}

/** RFC 3339 to `datetime-local`, in the reader's zone, to the second. */
export function toLocalInput(time: string | undefined): string {
  const at = time === undefined ? Number.NaN : Date.parse(time);
  if (Number.isNaN(at)) return '';
  const date = new Date(at);
  return new Date(at - date.getTimezoneOffset() * MINUTE).toISOString().slice(0, 19);
}
