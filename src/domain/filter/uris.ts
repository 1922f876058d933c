/** URIs (RFC 3986) and URI templates (RFC 6570), read part by part. */
import { isIpv6 } from './addresses.ts';

const SCHEME = /^[a-z][a-z0-9+.-]*$/i;
const USER = /^(?:[a-z0-9._~!$&'()*+,;=:-]|%[0-9a-f]{2})*$/i;
const HOST = /^(?:[a-z0-9._~!$&'()*+,;=-]|%[0-9a-f]{2})*$/i;
const FUTURE_ADDRESS = /^v[0-9a-f]+\.[a-z0-9._~!$&'()*+,;=:-]+$/i;
const PATH = /^(?:[a-z0-9._~!$&'()*+,;=:@/-]|%[0-9a-f]{2})*$/i;
const QUERY = /^(?:[a-z0-9._~!$&'()*+,;=:@/?-]|%[0-9a-f]{2})*$/i;

/** A scheme, and something after it. */
export function isUri(text: string): boolean {
  const colon = text.indexOf(':');
  const rest = text.slice(colon + 1);
  return colon > 0 && SCHEME.test(text.slice(0, colon)) && /^[^?#]/.test(rest) && isAfterScheme(rest);
}

/** A URI or a relative reference. The first segment of a relative path has no colon, or it would be a scheme. */
export function isUriReference(text: string): boolean {
  if (isUri(text)) return true;
  const colon = text.indexOf(':');
  const isScheme = colon > 0 && SCHEME.test(text.slice(0, colon));
  if (!isScheme && /^[^/?#]*:/.test(text)) return false;
  return isAfterScheme(text);
}

function isAfterScheme(text: string): boolean {
  const [beforeFragment, fragment = ''] = splitAt(text, '#');
  const [hierarchy, query = ''] = splitAt(beforeFragment, '?');
  if (!QUERY.test(fragment) || !QUERY.test(query)) return false;
  if (!hierarchy.startsWith('//')) return PATH.test(hierarchy);
  const slash = hierarchy.indexOf('/', 2);
  const authority = hierarchy.slice(2, slash < 0 ? undefined : slash);
  return isAuthority(authority) && (slash < 0 || PATH.test(hierarchy.slice(slash)));
}

function isAuthority(text: string): boolean {
  const at = text.lastIndexOf('@');
  if (at >= 0 && !USER.test(text.slice(0, at))) return false;
  const place = text.slice(at + 1);
  const bracket = place.startsWith('[') ? place.indexOf(']') : -1;
  if (bracket < 0) {
    const [host, port = ''] = splitAt(place, ':');
    return HOST.test(host) && /^[0-9]*$/.test(port);
  }
  const address = place.slice(1, bracket);
  return (isIpv6(address) || FUTURE_ADDRESS.test(address)) && /^(?::[0-9]*)?$/.test(place.slice(bracket + 1));
}

/** The text before and after the first mark; without a mark the whole text alone. */
function splitAt(text: string, mark: string): [string, string?] {
  const index = text.indexOf(mark);
  return index < 0 ? [text] : [text.slice(0, index), text.slice(index + 1)];
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 6570 excludes them
const LITERAL = /^(?:[^\x00-\x20\x7f"%<>\\^`{|}]|%[0-9a-f]{2})*$/i;
const VARIABLE = /^(?:[a-z0-9_]|%[0-9a-f]{2})(?:\.?(?:[a-z0-9_]|%[0-9a-f]{2}))*(?::[1-9][0-9]{0,3}|\*)?$/i;

export function isUriTemplate(text: string): boolean {
  const [first = '', ...others] = text.split('{');
  return (
    LITERAL.test(first) &&
    others.every((part) => {
      const [expression, literal] = splitAt(part, '}');
      return literal !== undefined && isExpression(expression) && LITERAL.test(literal);
    })
  );
}

function isExpression(text: string): boolean {
  return text
    .replace(/^[+#./;?&=,!@|]/, '')
    .split(',')
    .every((variable) => VARIABLE.test(variable));
}
