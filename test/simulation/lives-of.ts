/** Lives of one test: all of them must keep the rules. */
import { live } from './life.ts';

/** @returns the first lives that broke a rule, with their stories; empty when all are well */
export async function failuresOf(firstSeed: number, seeds: number): Promise<string> {
  const failures: string[] = [];
  for (let seed = firstSeed; seed < firstSeed + seeds && failures.length < 3; seed++) {
    const { failure } = await live(seed);
    if (failure !== undefined) failures.push(failure);
  }
  return failures.join('\n\n');
}
