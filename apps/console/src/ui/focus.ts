/** Where the focus goes when what had it is gone, such as a button whose work is done. */
let last: Element | null = null;

addEventListener('focusin', ({ target }) => {
  last = target instanceof Element ? target : null;
});
// Who clicks beside everything wants no focus.
addEventListener('pointerdown', () => {
  last = null;
});

export function focusHeading(): void {
  document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
}

/** After a change of the page: the keyboard goes on at the heading, not at the top of the document. */
export function keepFocus(): void {
  if (last === null || last.isConnected || document.activeElement !== document.body) return;
  last = null;
  focusHeading();
}
