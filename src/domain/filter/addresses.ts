/** IP addresses as texts. */

const BYTE = /^(?:[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])$/;

/** Four numbers without zeros before them: some programs read those as octal. */
export function isIpv4(text: string): boolean {
  if (text.length > 15) return false;
  const parts = text.split('.');
  return parts.length === 4 && parts.every((part) => BYTE.test(part));
}

const GROUP = /^[0-9a-f]{1,4}$/i;

/** RFC 4291, 2.2: eight groups, of which `::` replaces one or more, and the last two may be an IPv4 address. */
export function isIpv6(text: string): boolean {
  if (text.length > 45) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const all = groups.flat();
  // Only the last group of the whole address can be an IPv4 address.
  const last = (groups.at(-1) ?? []).at(-1) ?? '';
  const endsInIpv4 = last.includes('.');
  if (endsInIpv4 && !isIpv4(last)) return false;
  if (!(endsInIpv4 ? all.slice(0, -1) : all).every((group) => GROUP.test(group))) return false;
  const count = all.length + (endsInIpv4 ? 1 : 0);
  return halves.length === 2 ? count <= 7 : count === 8;
}
