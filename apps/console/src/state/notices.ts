/** Short notices at the edge of the page, which screen readers speak. */
import { signal } from '@preact/signals';

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly at: number;
}

const SHOWN_MS = 6_000;
const LEAVING_MS = 1_000;
let last = 0;

export const notices = signal<readonly Notice[]>([]);

export function notify(text: string): void {
  const id = ++last;
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  notices.value = [...notices.value.slice(-2), { id, text: sentence, at: Date.now() }];
  setTimeout(() => dismiss(id), SHOWN_MS);
}

export function dismiss(id: number): void {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/** What a page said goes with it. What it said while it was left is for the next one. */
export function leavePage(): void {
  notices.value = notices.value.filter(({ at }) => Date.now() - at < LEAVING_MS);
}

/** For screen readers alone: what others see happening. */
export const spoken = signal('');

export function speak(text: string): void {
  spoken.value = text;
}
