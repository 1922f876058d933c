/** The algorithms of signatures (contract 6.2). Both are deterministic: text and key give the same bytes whenever they are signed. */
export const SIGNING_ALGORITHMS = ['RS256', 'EdDSA'] as const;
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** A signing key, as the header of a SET names it. */
export interface SigningKeyName {
  readonly algorithm: SigningAlgorithm;
  readonly kid: string;
}
