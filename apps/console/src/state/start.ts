/** The sign-in by a link: its one-time code is in the fragment, and leaves the address at once. */
import { effect, signal } from '@preact/signals';
import { replaceHash, route } from './navigation.ts';
import { notify } from './notices.ts';
import { asCallError, look, sessions, signIn } from './session.ts';

/** Whether a code of a link is being redeemed. */
export const redeeming = signal(false);

/** Where the reader was before the link was opened in the same tab. */
let before = '#/';

export function start(): void {
  effect(() => {
    const [first, code] = route.value.path;
    if (first === 'sign-in' && code !== undefined) void redeem(code, route.value.query.get('to'));
    else before = location.hash || '#/';
  });
}

/** @param to the page that the link is for, such as `/subscriptions/{SID}` */
async function redeem(code: string, to: string | null): Promise<void> {
  redeeming.value = true;
  // A page of our own in any case: what follows `#` never leaves this document.
  replaceHash(to?.startsWith('/') ? `#${to}` : before);
  try {
    await signIn({ code });
  } catch (error) {
    const failure = asCallError(error);
    await look('customer');
    const isOpen = sessions.customer.peek().state === 'open';
    if (failure.status !== 403) sessions.customer.value = { state: 'failed', error: failure };
    else if (isOpen) notify('This link was used before or has ended. You are still signed in.');
    else
      sessions.customer.value = {
        state: 'none',
        note: 'This link was used before or has ended. Ask the person who gave it to you for a new one.',
      };
  } finally {
    redeeming.value = false;
  }
}
