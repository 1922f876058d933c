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
import { isPublicAddress } from '../domain/endpoint.ts';
import { RESOLVE_TIMEOUT_MS } from '../domain/leases.ts';
import { ADDRESS_CACHE_MS, ADDRESS_STALE_MS, RESOLVER_PAUSE_MS } from '../domain/limits.ts';
import { createResolver, type Lookup, type Resolver } from './dns-over-https.ts';

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
  const hosts = new Map<string, Known>();
  const underWay = new Map<string, Asked>();

  const remember = (hostname: string, known: Known): AddressVerdict => {
    // The map is in order of the last look-up, so its first host is the oldest.
    hosts.delete(hostname);
    const [oldest] = hosts.keys();
    if (oldest !== undefined && hosts.size >= hostsKeptMax) hosts.delete(oldest);
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
    const found = await inTime(asked.found);
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

async function lookUp(resolver: Resolver, hostname: string): Promise<Found> {
  const away: Lookup = { kind: 'resolver away' };
  const both = await Promise.all(
    (['A', 'AAAA'] as const).map((type) => resolver(hostname, type).catch(() => away)),
  );
  const addresses = both.flatMap((found) => (found.kind === 'addresses' ? found.addresses : []));
  if (!addresses.every(isPublicAddress)) return 'blocked';
  // A record type that could not be asked for might hold a private address, so the host does not count as public.
  for (const kind of ['resolver away', 'servers failed'] as const) {
    if (both.some((found) => found.kind === kind)) return kind;
  }
  return addresses.length === 0 ? 'no address' : 'public';
}

/** Each attempt has a time limit of its own: a look-up that another invocation began may never end. */
async function inTime(found: Promise<Found>): Promise<Found> {
  let timer: number | null = null;
  const timeout = new Promise<Found>((resolve) => {
    timer = setTimeout(() => resolve('resolver away'), RESOLVE_TIMEOUT_MS);
  });
  try {
    return await Promise.race([found, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
