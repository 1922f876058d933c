/** Icons as strokes in a box of 16. They repeat what a word says, so screen readers skip them. */
import type { JSX } from 'preact';

const PATHS = {
  ok: 'M3.5 8.5l3 3 6-7',
  bad: 'M4.5 4.5l7 7M11.5 4.5l-7 7',
  wait: 'M8 4.5V8l2.5 1.5M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z',
  slow: 'M8 5v4M8 11.5v.01M8 1.8l6.4 11.4H1.6z',
  off: 'M4 8h8M14 8A6 6 0 1 1 2 8a6 6 0 0 1 12 0z',
  run: 'M13.5 8a5.5 5.5 0 1 1-2-4.2M11.8 1.5v2.6H9.2',
  copy: 'M5.5 5.5V3a1 1 0 0 1 1-1H13a1 1 0 0 1 1 1v6.5a1 1 0 0 1-1 1h-2.5M3 5.5h6.5a1 1 0 0 1 1 1V13a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1V6.5a1 1 0 0 1 1-1z',
  overview: 'M2.5 13.5V9M6.2 13.5v-11M9.8 13.5V6M13.5 13.5V3.5',
  subscriptions: 'M2.5 4h11M2.5 8h11M2.5 12h7',
  search: 'M10.5 10.5l3.5 3.5M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0z',
  key: 'M9.5 6.5L14 2M12 4l1.5 1.5M9.8 10.2a3.6 3.6 0 1 1-4-4 3.6 3.6 0 0 1 4 4z',
  customers:
    'M2 13.5c0-2.5 1.8-4 4-4s4 1.5 4 4M8.5 5a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0zM10.5 2.8a2.5 2.5 0 0 1 0 4.4M11.5 9.7c1.5.4 2.5 1.7 2.5 3.8',
  letter: 'M2 4.5h12v8H2zM2 5l6 4.5L14 5',
  bell: 'M3 11.5h10c-1-1-1.2-2-1.2-4.5a3.8 3.8 0 0 0-7.6 0C4.2 9.5 4 10.5 3 11.5zM6.8 13.8h2.4',
  audit: 'M4 2h8v12H4zM6.5 5.5h3M6.5 8h3M6.5 10.5h2',
  out: 'M6 2.5H3v11h3M9.5 5L13 8l-3.5 3M13 8H6',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  plus: 'M8 3v10M3 8h10',
  next: 'M6 3.5L10.5 8 6 12.5',
  link: 'M7 4.5l1.8-1.8a3 3 0 0 1 4.2 4.2L11 9M9 11.5l-1.8 1.8A3 3 0 0 1 3 9.1L5 7M6 10l4-4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of the console: an event that goes out. */
export function Mark(): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" />
      <circle cx="9.5" cy="16" r="2.5" />
      <path d="M14.5 10.5a8 8 0 0 1 0 11M19 7a13 13 0 0 1 0 18" />
    </svg>
  );
}
