/** Short notices at the edge of the page, which screen readers speak. */
import { signal } from '@preact/signals';

export interface Notice {
  readonly id: number;
  readonly text: string;
}

const SHOWN_MS = 6_000;
let last = 0;

export const notices = signal<readonly Notice[]>([]);

export function notify(text: string): void {
  const id = ++last;
  notices.value = [...notices.value.slice(-2), { id, text }];
  setTimeout(() => {
    notices.value = notices.value.filter((notice) => notice.id !== id);
  }, SHOWN_MS);
}

/** For screen readers alone: what others see happening. */
export const spoken = signal('');

export function speak(text: string): void {
  spoken.value = text;
}
