/**
 * Asks the platform's name service, DNS over HTTPS, for the addresses of a host. `node:dns` of the runtime asks the same
 * service, but drops the status of the answer: a name server that failed looks like a name without addresses
 * (docs/decisions/0019-we-ask-dns-over-https-ourselves.md).
 */
import { z } from 'zod';
import { RESOLVE_TIMEOUT_MS } from '../domain/leases.ts';

/** What a look-up of one type of record found. */
export type Lookup =
  /** The addresses, or none: the name has no such record, or does not exist. */
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] }
  /** The name servers of the host failed, or their answer cannot be used. */
  | { readonly kind: 'servers failed' }
  /** The name service could not be asked, which says nothing about the name. */
  | { readonly kind: 'resolver away' };

/** Looks up one type of record. Never rejects. */
export type Resolver = (hostname: string, type: 'A' | 'AAAA') => Promise<Lookup>;

/** The host of the name service. */
export const SERVICE_NAME = 'cloudflare-dns.com';
const SERVICE = `https://${SERVICE_NAME}/dns-query`;
/** Bytes of an answer that are read: some hundred addresses. The owner of the name decides how many there are. */
const ANSWER_MAX_BYTES = 65_536;

/** Types of records (RFC 1035, RFC 3596). Others, such as CNAME (5), come along and hold no address. */
const ADDRESS_TYPES: ReadonlySet<number> = new Set([1, 28]);

/** Status of an answer (RFC 1035, 4.1.1). */
const NO_ERROR = 0;
const NO_SUCH_NAME = 3;

const Answer = z.object({
  Status: z.number().int(),
  /** The answer was cut off. */
  TC: z.boolean().optional(),
  Answer: z.array(z.object({ type: z.number().int(), data: z.string() })).optional(),
});

export const AWAY: Lookup = { kind: 'resolver away' };
const SERVERS_FAILED: Lookup = { kind: 'servers failed' };

/** @param fetcher tests bring their own */
export function createResolver(fetcher: typeof fetch = (input, init) => fetch(input, init)): Resolver {
  return async (hostname, type) => {
    try {
      const response = await fetcher(`${SERVICE}?name=${encodeURIComponent(hostname)}&type=${type}`, {
        headers: { accept: 'application/dns-json' },
        redirect: 'manual',
        signal: AbortSignal.timeout(RESOLVE_TIMEOUT_MS),
      });
      if (response.status !== 200) {
        response.body?.cancel().catch(() => undefined);
        return AWAY;
      }
      const text = await readBounded(response, ANSWER_MAX_BYTES);
      // The owner of a name must not be able to make the name service look away.
      return text === undefined ? SERVERS_FAILED : judge(JSON.parse(text));
    } catch {
      return AWAY;
    }
  };
}

/** An answer in a form that we do not know is no answer: a record that we cannot read might hold a private address. */
function judge(value: unknown): Lookup {
  const parsed = Answer.safeParse(value);
  if (!parsed.success) return AWAY;
  const { Status: status, TC: isCutOff = false, Answer: records = [] } = parsed.data;
  if (status === NO_SUCH_NAME) return { kind: 'addresses', addresses: [] };
  if (status !== NO_ERROR || isCutOff) return SERVERS_FAILED;
  const addresses = records.filter(({ type }) => ADDRESS_TYPES.has(type)).map(({ data }) => data);
  return { kind: 'addresses', addresses };
}

/** @returns the body as text; `undefined` when it is longer than that */
async function readBounded(response: Response, maxBytes: number): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = '';
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}
