/** What was typed in a form when the session ended: the form has it again after signing in. Kept in memory alone, one at a time. */
let kept: { readonly place: string; readonly draft: unknown } | undefined;

export function keepDraft(place: string, draft: unknown): void {
  kept = { place, draft };
}

/** @param place names the form and its customer: nobody else gets the draft */
export function takeDraft<Draft>(place: string): Draft | undefined {
  const found = kept?.place === place ? kept.draft : undefined;
  kept = undefined;
  return found as Draft | undefined;
}
