/** Whether a button of the pointer is down. */
let isDown = false;

addEventListener(
  'pointerdown',
  () => {
    isDown = true;
  },
  true,
);
for (const end of ['pointerup', 'pointercancel'] as const) {
  addEventListener(
    end,
    () => {
      isDown = false;
    },
    true,
  );
}

/**
 * Runs what moves parts of the page: at once, or after the click that is under way. A field that loses the focus because somebody presses
 * a button must not move that button away from the pointer.
 */
export function afterClick(move: () => void): void {
  if (isDown) addEventListener('pointerup', () => setTimeout(move), { once: true });
  else move();
}
