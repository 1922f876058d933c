/** Who calls, as far as limits on strangers know it: the network address. */
import ipaddr from 'ipaddr.js';

/** One key for all callers whose address is not known. Cloudflare gives the address of every request. */
const UNKNOWN = 'unknown';

/**
 * All Workers of the world call from one address (workers, "CF-Connecting-IP in Worker subrequests"). The platform adds the header
 * `CF-Worker` to such a call, with the zone of the Worker, which cannot choose it.
 */
const WORKERS = '2a06:98c0:3600::/64';
const ZONE_MAX_CHARACTERS = 253;

/**
 * The key under which calls from an address are counted. An IPv4 address counts by itself, also when it comes in the
 * IPv4-mapped form. An IPv6 address counts with its /64, because one caller usually has a whole /64. A
 * Worker counts with its zone: a stranger's Worker must not lock out those of others.
 * @param address as `cf-connecting-ip` has it
 * @param zone as `cf-worker` has it
 */
export function addressKey(address: string | undefined, zone?: string): string {
  if (address === undefined || !ipaddr.isValid(address)) return UNKNOWN;
  const parsed = ipaddr.parse(address);
  if (!(parsed instanceof ipaddr.IPv6)) return parsed.toString();
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  const network = parsed.toByteArray().fill(0, 8);
  const key = `${ipaddr.fromByteArray(network).toString()}/64`;
  if (key !== WORKERS || zone === undefined || zone === '') return key;
  return `worker ${zone.toLowerCase().slice(0, ZONE_MAX_CHARACTERS)}`;
}
