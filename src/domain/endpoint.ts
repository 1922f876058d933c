/**
 * Endpoint rules (contract 3.3): which URLs a subscription may name, and which addresses count as public.
 *
 * The rules are pure. `outbound/address-check.ts` resolves names, and asks `isPublicAddress` about every address.
 */
import ipaddr from 'ipaddr.js';

/** Characters of an endpoint URL. */
const URL_MAX_CHARACTERS = 2048;
/** Last labels of host names that are never public. */
const LOCAL_SUFFIXES = ['localhost', 'local', 'internal'];

export type EndpointCheck =
  | { readonly ok: true; readonly hostname: string }
  | { readonly ok: false; readonly reason: string };

/** Characters that nobody sees, or that change how the others are shown: controls, formats and what may be ignored. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/**
 * Checks an endpoint URL that a customer configures: it must be reached as it is shown. An endpoint that was stored before
 * these rules stays, so an attempt goes by `checkEndpointUrl`.
 */
export function checkNewEndpoint(text: string, allowPrivate: boolean): EndpointCheck {
  const url = checkEndpointUrl(text, allowPrivate);
  if (!url.ok) return url;
  if (HIDDEN.test(text)) return refuse('must not contain hidden characters; write them percent-encoded');
  const [, host] = /^https?:\/\/([^/?]+)/i.exec(text) ?? [];
  if (host === undefined) return refuse('must be an https URL');
  if (host.startsWith('[')) return url;
  return isReachedAsShown(host.replace(/:\d*$/, ''), new URL(text).hostname)
    ? url
    : refuse('must name a host by letters, digits and hyphens, as it is reached');
}

/**
 * Whether a host is reached under the name that is shown. The URL parser decodes `%61`, takes a full-width letter for a plain
 * one, and splits at other full stops than `.`; it accepts `*` and other punctuation.
 */
function isReachedAsShown(shown: string, reached: string): boolean {
  const labels = reached.split('.');
  const names = shown.toLowerCase().split('.');
  return (
    shown === shown.normalize('NFKC') &&
    names.length === labels.length &&
    labels.every((label, index) => {
      const isName = /^[a-z0-9_-]*$/.test(label);
      return isName && (label === names[index] || (label.startsWith('xn--') && hasOther(names[index] ?? '')));
    })
  );
}

/** Whether a text has a character that is not ASCII. */
function hasOther(text: string): boolean {
  return /\P{ASCII}/u.test(text);
}

/**
 * Checks an endpoint URL as text, as an attempt needs it.
 * @param allowPrivate admits `http`, any port and any host; for development and tests
 * @returns the host name to resolve, or why the URL is refused
 */
export function checkEndpointUrl(text: string, allowPrivate: boolean): EndpointCheck {
  if (text.length > URL_MAX_CHARACTERS) return refuse(`must be at most ${URL_MAX_CHARACTERS} characters`);
  // The URL parser removes or replaces white space, control characters and backslashes without a word. The URL that is
  // called would then not be the one that the customer reads.
  if (/[\s\\]/.test(text) || hasControlCharacter(text) || !text.isWellFormed() || !URL.canParse(text)) {
    return refuse('must be an https URL');
  }
  const url = new URL(text);
  const secure = url.protocol === 'https:';
  if (!secure && !(allowPrivate && url.protocol === 'http:')) return refuse('must be an https URL');
  if (!/^https?:\/\//i.test(text)) return refuse('must be an https URL');
  if (url.username !== '' || url.password !== '' || /^[^:]+:\/\/[^/?#]*@/.test(text)) {
    return refuse('must not contain a user or password');
  }
  if (text.includes('#')) return refuse('must not contain a fragment');
  if (allowPrivate) return { ok: true, hostname: url.hostname };
  const port = url.port === '' ? 443 : Number(url.port);
  if (port !== 443 && port < 1024) return refuse('must use port 443 or a port from 1024 to 65535');
  return checkHostname(url.hostname.replace(/\.$/, ''));
}

function checkHostname(hostname: string): EndpointCheck {
  // The URL parser has turned every spelling of an IPv4 address (octal, hex, one number) into four decimals.
  if (hostname.startsWith('[') || ipaddr.IPv4.isValid(hostname)) {
    return refuse('must name a host, not an IP address');
  }
  const labels = hostname.split('.');
  if (labels.length < 2 || labels.includes('')) return refuse('must name a host with its full domain');
  if (LOCAL_SUFFIXES.includes(labels.at(-1) ?? '')) return refuse('must name a public host');
  return { ok: true, hostname };
}

/**
 * Whether an address is public unicast. IPv6 forms that embed an IPv4 address (mapped and compatible, RFC 4291;
 * 6to4, RFC 3056; NAT64, RFC 6052; Teredo, RFC 4380) are judged by what they embed.
 */
export function isPublicAddress(address: string): boolean {
  // The library also reads what inet_aton reads (octal, hex, fewer parts) and a zone. No answer of a name server has those.
  if (ipaddr.IPv4.isValidFourPartDecimal(address)) return isPublicIPv4(ipaddr.IPv4.parse(address));
  if (!ipaddr.IPv6.isValid(address) || address.includes('%')) return false;
  const parsed = ipaddr.IPv6.parse(address);
  const bytes = parsed.toByteArray();
  const embedded = embeddedIPv4(bytes);
  if (embedded.length > 0) return embedded.every(isPublicIPv4);
  // RFC 4291, 2.4, and IANA: global unicast is allocated from 2000::/3 alone.
  return ((bytes[0] ?? 0) & 0xe0) === 0x20 && parsed.range() === 'unicast';
}

function isPublicIPv4(address: ipaddr.IPv4): boolean {
  return address.range() === 'unicast';
}

function embeddedIPv4(bytes: readonly number[]): ipaddr.IPv4[] {
  const at = (start: number, flip = 0) =>
    new ipaddr.IPv4(bytes.slice(start, start + 4).map((byte) => byte ^ flip));
  const startsWith = (...prefix: number[]) => prefix.every((byte, index) => bytes[index] === byte);
  const zeros = (from: number, to: number) => bytes.slice(from, to).every((byte) => byte === 0);
  if (zeros(0, 12)) return [at(12)]; // compatible; :: and ::1 embed 0.0.0.0 and 0.0.0.1, not public either
  if (zeros(0, 10) && bytes[10] === 0xff && bytes[11] === 0xff) return [at(12)]; // mapped
  if (startsWith(0x20, 0x02)) return [at(2)]; // 6to4
  if (startsWith(0x00, 0x64, 0xff, 0x9b) && zeros(4, 12)) return [at(12)]; // NAT64, well-known prefix
  if (startsWith(0x20, 0x01, 0x00, 0x00)) return [at(4), at(12, 0xff)]; // Teredo: server, and client flipped
  return [];
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < 0x20 || code === 0x7f) return true;
  }
  return false;
}

function refuse(reason: string): EndpointCheck {
  return { ok: false, reason };
}
