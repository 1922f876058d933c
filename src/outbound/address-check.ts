/**
 * Is a listener's host public (contract 3.3)? The service asks when an endpoint is configured, and before every attempt.
 *
 * The platform resolves the name again when it connects, and a Worker cannot choose the address. So a name server that
 * answers differently the second time can still mislead the service. `global_fetch_strictly_public`, and verdicts that are
 * kept for a minute at most, limit what an attacker gains (see DNS rebinding in SECURITY.md).
 *
 * While no look-up of a host succeeds, because the name service is away or the host's own name servers fail, the verdict
 * says what the last look-up found, for ten minutes. An attempt goes by that; a customer who configures an endpoint must
 * wait. Such a host is asked about once in five seconds, so that attempts do not wait for a service that hangs.
 */
import { BoundedCache } from '../bounded-cache.ts';
import { isPublicAddress } from '../domain/endpoint.ts';
import { RESOLVE_TIMEOUT_MS } from '../domain/leases.ts';
import { ADDRESS_CACHE_MS, ADDRESS_STALE_MS, RESOLVER_PAUSE_MS } from '../domain/limits.ts';
import { AWAY, createResolver, type Resolver, SERVICE_NAME } from './dns-over-https.ts';

export type AddressVerdict =
  | { readonly kind: 'public' }
  /** At least one address is not public. */
  | { readonly kind: 'blocked' }
  /** The name has no address, or its name servers give no answer. */
  | { readonly kind: 'no answer'; readonly last: LastFound }
  /** The name service could not be asked, which says nothing about the name. */
  | { readonly kind: 'resolver away'; readonly last: LastFound };

/** What the last look-up that succeeded found, if that was less than ten minutes ago. */
type LastFound = 'public' | 'blocked' | 'unknown';

export type AddressCheck = (hostname: string) => Promise<AddressVerdict>;

/** A look-up may take this long. What is left of the time limit is for the question whether the name service is there. */
const LOOK_UP_MS = RESOLVE_TIMEOUT_MS - 1000;

/** Hosts that an isolate remembers. */
const HOSTS_KEPT_MAX = 10_000;

/** What is remembered of a host; times in ms. */
interface Known {
  /** The answer until `askAgainAt`. */
  readonly verdict: AddressVerdict;
  readonly askAgainAt: number;
  /** The verdict of the last look-up that succeeded, and until when it may count. */
  readonly last?: { readonly found: 'public' | 'blocked'; readonly until: number };
}

/** A look-up that other attempts of the isolate share. */
interface Asked {
  readonly at: number;
  readonly found: Promise<Found>;
}

/** What both look-ups of a host found. */
type Found = 'public' | 'blocked' | 'no address' | 'servers failed' | 'resolver away';

/** Makes a check that keeps verdicts for a minute, and for ten while no look-up succeeds. */
export function createAddressCheck(
  resolver: Resolver = createResolver(),
  hostsKeptMax = HOSTS_KEPT_MAX,
): AddressCheck {
  const hosts = new BoundedCache<Known>(hostsKeptMax);
  const underWay = new Map<string, Asked>();

  const remember = (hostname: string, known: Known): AddressVerdict => {
    hosts.set(hostname, known);
    return known.verdict;
  };

  return async (hostname) => {
    const now = Date.now();
    const known = hosts.get(hostname);
    if (known !== undefined && known.askAgainAt > now) return known.verdict;
    let asked = underWay.get(hostname);
    // The invocation that began a look-up may have died with it.
    if (asked === undefined || asked.at + RESOLVE_TIMEOUT_MS <= now) {
      asked = { at: now, found: lookUp(resolver, hostname) };
      underWay.set(hostname, asked);
    }
    let found = await inTime(asked.found, LOOK_UP_MS, 'resolver away');
    if (found === 'resolver away' && (await isThere(resolver))) found = 'servers failed';
    if (underWay.get(hostname) === asked) underWay.delete(hostname);
    switch (found) {
      case 'public':
      case 'blocked': {
        const last = { found, until: asked.at + ADDRESS_STALE_MS };
        return remember(hostname, {
          verdict: { kind: found },
          askAgainAt: asked.at + ADDRESS_CACHE_MS,
          last,
        });
      }
      case 'no address':
        hosts.delete(hostname);
        return { kind: 'no answer', last: 'unknown' };
      case 'servers failed':
      case 'resolver away': {
        const kind = found === 'servers failed' ? 'no answer' : found;
        const askAgainAt = now + RESOLVER_PAUSE_MS;
        const latest = hosts.get(hostname);
        // Another look-up may have ended meanwhile.
        if (latest !== undefined && latest.askAgainAt > now) return latest.verdict;
        const last = latest?.last;
        if (last !== undefined && last.until > now) {
          const verdict = { kind, last: last.found } as const;
          return remember(hostname, { verdict, askAgainAt: Math.min(askAgainAt, last.until), last });
        }
        const verdict = { kind, last: 'unknown' } as const;
        return kind === 'no answer' ? verdict : remember(hostname, { verdict, askAgainAt });
      }
    }
  };
}

/** One after the other: an invocation has few connections, and a look-up needs no two of them. */
async function lookUp(resolver: Resolver, hostname: string): Promise<Found> {
  let count = 0;
  let failed: Found | undefined;
  for (const type of ['A', 'AAAA'] as const) {
    const found = await resolver(hostname, type).catch(() => AWAY);
    if (found.kind === 'addresses') {
      if (!found.addresses.every(isPublicAddress)) return 'blocked';
      count += found.addresses.length;
    } else failed = failed === 'resolver away' ? failed : found.kind;
  }
  // A record type that could not be asked for might hold a private address, so the host does not count as public.
  if (failed !== undefined) return failed;
  return count === 0 ? 'no address' : 'public';
}

/**
 * Whether the name service answers for a name of its own. If it does, a look-up that hangs or fails is the fault of the name:
 * its owner must not be able to pass it off as ours.
 */
async function isThere(resolver: Resolver): Promise<boolean> {
  const answer = resolver(SERVICE_NAME, 'A').catch(() => AWAY);
  const found = await inTime(answer, RESOLVE_TIMEOUT_MS - LOOK_UP_MS, AWAY);
  return found.kind === 'addresses' && found.addresses.length > 0;
}

/** Each attempt has a time limit of its own: a look-up that another invocation began may never end. */
async function inTime<Answer>(found: Promise<Answer>, ms: number, otherwise: Answer): Promise<Answer> {
  let timer: number | null = null;
  const timeout = new Promise<Answer>((resolve) => {
    timer = setTimeout(() => resolve(otherwise), ms);
  });
  try {
    return await Promise.race([found, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
