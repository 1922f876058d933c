/**
 * Is a listener's host public (contract 3.3)? The service asks when an endpoint is configured, and before every attempt.
 *
 * The platform resolves the name again when it connects, and a Worker cannot choose the address. So a name server that
 * answers differently the second time can still mislead the service. `global_fetch_strictly_public`, and verdicts that are
 * kept for a minute at most, limit what an attacker gains (see DNS rebinding in SECURITY.md).
 */
import { resolve4, resolve6 } from 'node:dns/promises';
import { isPublicAddress } from '../domain/endpoint.ts';
import { RESOLVE_TIMEOUT_MS } from '../domain/leases.ts';
import { ADDRESS_CACHE_MS } from '../domain/limits.ts';

/** Resolves one type of record. It rejects with Node's error codes, as `node:dns/promises` does. */
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
  /** The name service could not be asked, which says nothing about the name. */
  | { readonly kind: 'resolver away' };

export type AddressCheck = (hostname: string) => Promise<AddressVerdict>;

/** Verdicts that an isolate keeps. */
const VERDICTS_KEPT_MAX = 10_000;

const nodeResolver: Resolver = { resolve4, resolve6 };

/** Makes a check that keeps verdicts for a minute at most. */
export function createAddressCheck(resolver: Resolver = nodeResolver): AddressCheck {
  const cache = new Map<string, { verdict: AddressVerdict; until: number }>();
  return async (hostname) => {
    const now = Date.now();
    const known = cache.get(hostname);
    if (known !== undefined && known.until > now) return known.verdict;
    const verdict = await judge(resolver, hostname);
    if (verdict.kind === 'public' || verdict.kind === 'blocked') {
      if (cache.size >= VERDICTS_KEPT_MAX) cache.clear();
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
  // A record type that could not be asked for might hold a private address, so the host does not count as public.
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
