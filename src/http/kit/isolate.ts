/** What an isolate remembers from request to request. Other isolates do not see it, and the platform may end an isolate at any time. */
import { BoundedCache } from '../../bounded-cache.ts';
import type { Credential } from '../../storage/clients.ts';
import { CustomerMemory } from './customer-memory.ts';
import { Guesses } from './guesses.ts';

/** Credentials in memory, of about 500 bytes each. */
const CREDENTIALS_MAX = 10_000;

export interface IsolateMemory {
  readonly guesses: Guesses;
  readonly customers: CustomerMemory;
  /** By the id of their secret, for `CREDENTIAL_CACHE_MS`: a revoked secret works for so long (contract 2). */
  readonly credentials: BoundedCache<{ readonly credential: Credential; readonly until: number }>;
}

export function newIsolateMemory(): IsolateMemory {
  return {
    guesses: new Guesses(),
    customers: new CustomerMemory(),
    credentials: new BoundedCache(CREDENTIALS_MAX),
  };
}
