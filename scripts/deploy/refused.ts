/** Why a deployment does not begin, or does not go on: a sentence for the operator that says what to do. */
export class Refused extends Error {
  override readonly name = 'Refused';
}
