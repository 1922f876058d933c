/**
 * Is a listener's host public (contract 3.3)? Asked when an endpoint is configured and before every attempt.
 *
 * The platform resolves the name again when it connects and cannot be told which address to use, so a name
 * server that answers differently the second time can still mislead us; answers kept for a minute at most,
 * and `global_fetch_strictly_public`, limit what that gains.
 */
import { resolve4, resolve6 } from 'node:dns/promises';
import { isPublicAddress } from '../domain/endpoint.ts';
import { RESOLVE_TIMEOUT_MS } from '../domain/leases.ts';
import { ADDRESS_CACHE_MS } from '../domain/limits.ts';

/** Resolves one record type; rejects with node's error codes. `node:dns/promises` fits. */
export interface Resolver {
  resolve4(hostname: string): Promise<string[]>;
  resolve6(hostname: string): Promise<string[]>;
}

export type AddressVerdict =
  | { readonly kind: 'public' }
  /** At least one address is not public. */
  | { readonly kind: 'blocked' }
  /** The name has no address, or its name servers give no answer. */
  | { readonly kind: 'no answer' }
  /** We could not ask: says nothing of the name. */
  | { readonly kind: 'resolver away' };

export type AddressCheck = (hostname: string) => Promise<AddressVerdict>;

const nodeResolver: Resolver = { resolve4, resolve6 };

/** Makes a check that remembers verdicts for at most a minute. */
export function createAddressCheck(resolver: Resolver = nodeResolver): AddressCheck {
  const cache = new Map<string, { verdict: AddressVerdict; until: number }>();
  return async (hostname) => {
    const now = Date.now();
    const known = cache.get(hostname);
    if (known !== undefined && known.until > now) return known.verdict;
    const verdict = await judge(resolver, hostname);
    if (verdict.kind === 'public' || verdict.kind === 'blocked') {
      if (cache.size >= 10_000) cache.clear();
      cache.set(hostname, { verdict, until: now + ADDRESS_CACHE_MS });
    }
    return verdict;
  };
}

type Lookup = { addresses: string[] } | { failed: 'no answer' | 'resolver away' };

async function judge(resolver: Resolver, hostname: string): Promise<AddressVerdict> {
  const [a, aaaa] = await Promise.all([
    lookup(resolver.resolve4(hostname)),
    lookup(resolver.resolve6(hostname)),
  ]);
  const addresses = [a, aaaa].flatMap((found) => ('failed' in found ? [] : found.addresses));
  if (!addresses.every(isPublicAddress)) return { kind: 'blocked' };
  // A family that could not be asked about might hold a private address: it is no good answer.
  if ('failed' in a) return { kind: a.failed };
  if ('failed' in aaaa) return { kind: aaaa.failed };
  return { kind: addresses.length === 0 ? 'no answer' : 'public' };
}

async function lookup(answer: Promise<string[]>): Promise<Lookup> {
  let timer: number | null = null;
  const timeout = new Promise<Lookup>((resolve) => {
    timer = setTimeout(() => resolve({ failed: 'resolver away' }), RESOLVE_TIMEOUT_MS);
  });
  const asked = answer.then(
    // The platform puts CNAME names among the addresses.
    (answers): Lookup => ({ addresses: answers.filter((text) => /^[0-9.]+$|:/.test(text)) }),
    (error: unknown): Lookup => {
      const code = error instanceof Error && 'code' in error ? String(error.code) : '';
      if (code === 'ENODATA' || code === 'ENOTFOUND') return { addresses: [] };
      return { failed: code === 'ESERVFAIL' || code === 'EREFUSED' ? 'no answer' : 'resolver away' };
    },
  );
  try {
    return await Promise.race([asked, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
