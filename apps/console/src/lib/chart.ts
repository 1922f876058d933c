/** The geometry of the charts: numbers in, rectangles out. */

export interface Hour {
  readonly hour: string;
  readonly delivered: number;
  readonly failed: number;
}

export interface Bar {
  readonly x: number;
  readonly width: number;
  readonly delivered: { readonly y: number; readonly height: number };
  readonly failed: { readonly y: number; readonly height: number };
}

/** A failure must be seen beside thousands of successes. */
const LEAST_HEIGHT = 2;

/** Bars in a box of `width` by `height`, failures on top of deliveries. @param top the value that fills the height */
export function barsOf(hours: readonly Hour[], width: number, height: number, top: number): Bar[] {
  const slot = width / Math.max(1, hours.length);
  const gap = Math.min(2, slot * 0.2);
  const scaled = (value: number) => (value === 0 ? 0 : Math.max(LEAST_HEIGHT, (value / top) * height));
  return hours.map(({ delivered, failed }, index) => {
    const failedHeight = Math.min(height, scaled(failed));
    const deliveredHeight = Math.min(height - failedHeight, scaled(delivered));
    return {
      x: index * slot + gap / 2,
      width: slot - gap,
      delivered: { y: height - deliveredHeight, height: deliveredHeight },
      failed: { y: height - deliveredHeight - failedHeight, height: failedHeight },
    };
  });
}

export interface AxisLabel {
  /** Where its middle stands, as a share of the width. */
  readonly share: number;
  readonly text: string;
  /** It is left out in a narrow window. */
  readonly minor: boolean;
}

const LABELS_MAX = 7;
/** More hours are named by their days. */
const BY_DAY_FROM = 48;
/** A piece of a day has too little room for its name. */
const DAY_NAMED_FROM = 12;
const ROOM_OF_NOW = 9;

/** What stands under the bars: hours of a day, or days, and `now` under the hour that runs. */
export function labelsOf(
  hours: readonly Hour[],
  { locale, timeZone }: { readonly locale?: string; readonly timeZone?: string } = {},
): AxisLabel[] {
  if (hours.length === 0) return [];
  const zone = timeZone === undefined ? {} : { timeZone };
  const places =
    hours.length > BY_DAY_FROM
      ? dayPlaces(hours, new Intl.DateTimeFormat(locale, { weekday: 'short', day: 'numeric', ...zone }))
      : hourPlaces(
          hours,
          new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...zone }),
        );
  places.push({ middle: hours.length - 0.5, text: 'now' });
  return places.map(({ middle, text }, index) => ({
    share: middle / hours.length,
    text,
    minor: (places.length - 1 - index) % 2 === 1,
  }));
}

interface Place {
  readonly middle: number;
  readonly text: string;
}

function hourPlaces(hours: readonly Hour[], format: Intl.DateTimeFormat): Place[] {
  const step = Math.ceil(hours.length / LABELS_MAX);
  return hours.flatMap(({ hour }, index) => {
    const isNamed = index < hours.length - 1 && (hours.length - 1 - index) % step === 0;
    return isNamed ? { middle: index + 0.5, text: format.format(new Date(hour)) } : [];
  });
}

function dayPlaces(hours: readonly Hour[], format: Intl.DateTimeFormat): Place[] {
  const days = Map.groupBy(hours.keys(), (index) => format.format(new Date(hours[index]?.hour ?? 0)));
  return [...days].flatMap(([text, bars]) => {
    const middle = ((bars[0] ?? 0) + (bars.at(-1) ?? 0) + 1) / 2;
    const isNamed = bars.length >= DAY_NAMED_FROM && hours.length - middle >= ROOM_OF_NOW;
    return isNamed ? { middle, text } : [];
  });
}

/** The end of an axis: a round number of at least `value`, whose half is a whole number. */
export function axisTop(value: number): number {
  if (value <= 10) return value <= 4 ? 4 : 10;
  const power = 10 ** Math.floor(Math.log10(value));
  return (
    [1, 1.5, 2, 3, 4, 5, 6, 8, 10]
      .map((step) => step * power)
      .find((step) => step >= value && step % 2 === 0) ?? 10 * power
  );
}

/** Sums of runs of `size` values; the last run may be shorter. */
export function grouped(values: readonly number[], size: number): number[] {
  const sums: number[] = [];
  for (const [index, value] of values.entries()) {
    const group = Math.floor(index / size);
    sums[group] = (sums[group] ?? 0) + value;
  }
  return sums;
}

/**
 * The bound within which a share of the answers came.
 * @returns undefined without answers; Infinity when it lies beyond the last bound
 */
export function boundOf(
  counts: readonly number[],
  bounds: readonly number[],
  share: number,
): number | undefined {
  const all = counts.reduce((sum, value) => sum + value, 0);
  if (all === 0) return undefined;
  let seen = 0;
  for (const [index, value] of counts.entries()) {
    seen += value;
    if (seen >= all * share) return bounds[index] ?? Number.POSITIVE_INFINITY;
  }
  return Number.POSITIVE_INFINITY;
}
