/** Which endpoints the service refuses (contract 3.3), as far as the URL shows it. The service resolves the name as well. */
import { isIP } from 'node:net';

const MAX_CHARACTERS = 2048;

/** @returns why a deployment in production refuses the endpoint; undefined when nothing in the URL speaks against it */
export function refusalOf(endpoint: string): string | undefined {
  if (endpoint.length > MAX_CHARACTERS) return `the endpoint has more than ${MAX_CHARACTERS} characters`;
  if (!URL.canParse(endpoint) || /[\s\\\p{Cc}]/u.test(endpoint)) return 'the endpoint is not a URL';
  const { protocol, username, password, hostname, port } = new URL(endpoint);
  if (protocol !== 'https:') return 'the endpoint is not https';
  if (username !== '' || password !== '') return 'the endpoint has a user or a password';
  if (endpoint.includes('#')) return 'the endpoint has a fragment';
  if (isIP(hostname.replace(/^\[(.*)\]$/, '$1')) !== 0) return 'the endpoint is an IP address, not a name';
  const labels = hostname.replace(/\.$/, '').split('.');
  if (labels.length < 2 || /^(localhost|local|internal)$/.test(labels.at(-1) ?? '')) {
    return 'the endpoint is private: a name without a domain, or under .localhost, .local or .internal';
  }
  if (port !== '' && Number(port) < 1024) return 'the endpoint has a port other than 443 and below 1024';
  return undefined;
}
