/** What an isolate remembers from request to request. Other isolates do not see it, and the platform may end an isolate at any time. */
import { CustomerMemory } from './customer-memory.ts';
import { Guesses } from './guesses.ts';

export interface IsolateMemory {
  readonly guesses: Guesses;
  readonly customers: CustomerMemory;
}

export function newIsolateMemory(): IsolateMemory {
  return { guesses: new Guesses(), customers: new CustomerMemory() };
}
