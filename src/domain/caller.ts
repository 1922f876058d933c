/** Who calls, as far as limits on strangers know it: the network address. */
import ipaddr from 'ipaddr.js';

/** One key for all callers whose address is not known. Cloudflare gives the address of every request. */
const UNKNOWN = 'unknown';

/**
 * The key under which calls from an address are counted. An IPv4 address counts by itself, also when it comes in the
 * IPv4-mapped form. An IPv6 address counts with its /64, because one caller usually has a whole /64.
 * @param address as `cf-connecting-ip` has it
 */
export function addressKey(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return UNKNOWN;
  const parsed = ipaddr.parse(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  const network = parsed.toByteArray().fill(0, 8);
  return `${ipaddr.fromByteArray(network).toString()}/64`;
}
