import { describe, expect, it } from 'vitest';
import { checkEndpointUrl, checkNewEndpoint, isPublicAddress } from '../../src/domain/endpoint.ts';

const accepted = (url: string, allowPrivate = false) => checkEndpointUrl(url, allowPrivate).ok;

describe('an accepted endpoint URL', () => {
  it.each([
    'https://listener.example.com/hooks',
    'https://listener.example.com',
    'https://listener.example.com:443/hooks',
    'https://listener.example.com:1024/',
    'https://listener.example.com:8443/hooks?tenant=1&x=y',
    'https://listener.example.com:65535/',
    'https://LISTENER.Example.COM/Hooks',
    'HTTPS://listener.example.com/',
    'https://listener.example.com./',
    'https://xn--mnchen-3ya.example/',
    'https://münchen.example/',
    'https://a.b/',
    'https://localhost.example.com/',
    'https://internal.example.com/',
    'https://my-local.example.com/',
    'https://notlocalhost.example/',
    'https://127.0.0.1.example.com/',
    'https://1e100.net/',
    'https://0x7f.example.com/',
    'https://example.com/a@b',
    'https://example.com/?mail=a@b.c',
    'https://example.com/a%23b',
    'https://example.com/%00',
    'https://example.com//double//slash',
  ])('the endpoint URL %s is accepted', (url) => {
    expect(checkEndpointUrl(url, false)).toMatchObject({ ok: true });
  });

  it('an accepted endpoint URL gives its host name in lower case, without the final dot', () => {
    expect(checkEndpointUrl('https://LISTENER.Example.com.:8443/x', false)).toEqual({
      ok: true,
      hostname: 'listener.example.com',
    });
  });

  it('an endpoint URL may have 2048 characters, and no more', () => {
    const start = 'https://listener.example.com/';
    expect(accepted(start.padEnd(2048, 'x'))).toBe(true);
    expect(accepted(start.padEnd(2049, 'x'))).toBe(false);
  });
});

/** A URL in which every character can be seen. */
const visible = (url: string) =>
  url.replace(/[^\x20-\x7e]/gu, (character) => `U+${character.codePointAt(0)?.toString(16)}`);

describe('a new endpoint URL', () => {
  it.each([
    'https://listener.example.com/hooks?tenant=1&x=y',
    'https://LISTENER.Example.COM./Hooks',
    'https://xn--mnchen-3ya.example/',
    'https://münchen.example/',
    'https://MÜNCHEN.example/',
    'https://straße.example/',
    'https://пример.example/',
    'https://例え.example/フック?q=ä',
    'https://my_listener.example.com:8443/',
    'https://example.com/a%20b%E2%80%8B/%C2%AD',
    'https://example.com/*?a=*',
  ])('the new endpoint URL %s is accepted, because it is reached as it is shown', (url) => {
    expect(checkNewEndpoint(url, false)).toMatchObject({ ok: true });
  });

  it.each(
    [
      'https://list\u00adener.example.com/', // soft hyphen
      'https://listener.example.com/\u00ad',
      'https://list\u200bener.example.com/', // zero-width space
      'https://listener.example.com/a\u200cb', // zero-width non-joiner
      'https://listener.example.com/a\u200db', // zero-width joiner
      'https://listener.example.com/?a=\u2060', // word joiner
      'https://listener.example.com/\u200e', // left-to-right mark
      'https://listener.example.com/\u202egpj', // right-to-left override
      'https://listener.example.com/\u2066a\u2069', // isolates
      'https://listener.example.com/\u0085', // a control character of Latin-1
      'https://listener.example.com/\ufeffa',
      'https://listener.example.com/\ufe0f', // variation selector
      'https://listener.example.com/\u3164', // Hangul filler
      'https://listener.example.com/\u{e0061}', // tag
      'https://*.example.com/',
      'https://li*ener.example.com/',
      'https://ü*.example.com/',
      'https://a,b.example.com/',
      'https:///listener.example.com/',
      'https:////listener.example.com/',
      'https://list%65ner.example.com/',
      'https://ｌｉｓｔｅｎｅｒ.example.com/',
      'https://ﬁlter.example.com/', // a ligature: reached as filter.example.com
      'https://listener。example.com/',
      'https://listener．example.com/',
      'https://ｍünchen.example/',
    ].map((url) => [visible(url), url]),
  )('the new endpoint URL %s is refused, because it is reached otherwise than it is shown', (_, url) => {
    expect(checkNewEndpoint(url ?? '', false)).toMatchObject({ ok: false });
    expect(checkNewEndpoint(url ?? '', true)).toMatchObject({ ok: false });
  });

  it('what an attempt refuses is refused as a new endpoint URL', () => {
    expect(checkNewEndpoint('http://listener.example.com/', false)).toEqual({
      ok: false,
      reason: 'must be an https URL',
    });
  });

  it('a stored endpoint URL that would be refused today is still used', () => {
    for (const url of ['https://list\u00adener.example.com/', 'https://listener.example.com/\u200b']) {
      expect(checkEndpointUrl(url, false)).toEqual({ ok: true, hostname: 'listener.example.com' });
    }
  });

  it('a private endpoint URL may name an address when private ones are allowed', () => {
    for (const url of ['http://127.0.0.1:9000/hooks', 'http://[::1]:8080/', 'http://localhost:9000/hooks']) {
      expect(checkNewEndpoint(url, true)).toMatchObject({ ok: true });
    }
  });
});

describe('a refused endpoint URL', () => {
  it.each([
    // schemes
    'http://listener.example.com/',
    'ftp://listener.example.com/',
    'ws://listener.example.com/',
    'wss://listener.example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,x',
    'listener.example.com',
    '//listener.example.com/',
    '/hooks',
    '',
    'https:',
    'https://',
    'https:///hooks',
    'https:listener.example.com',
    'https:/listener.example.com',
    // faults that a URL parser forgives
    ' https://listener.example.com/',
    'https://listener.example.com/ ',
    'https://listener.example.com/a b',
    'https://listener.exam\tple.com/',
    'https://listener.example.com/\n',
    'https:\\\\listener.example.com\\',
    'https://listener.example.com\\@evil.example/',
    'https://listener.example.com/\u0000',
    'https://listener.example.com/\u007f',
    'https://listener.example.com/\u00a0',
    'https://listener.example.com/\ud800',
    // user and fragment
    'https://user@listener.example.com/',
    'https://user:password@listener.example.com/',
    'https://:@listener.example.com/',
    'https://@listener.example.com/',
    'https://listener.example.com@127.0.0.1/',
    'https://listener.example.com/#',
    'https://listener.example.com/#fragment',
    'https://listener.example.com/?x#y',
    // IPv4 in every spelling
    'https://127.0.0.1/',
    'https://127.0.0.1./',
    'https://8.8.8.8/',
    'https://127.1/',
    'https://127.0.1/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0x7f.0.0.1/',
    'https://0177.0.0.1/',
    'https://017700000001/',
    'https://0/',
    'https://1.2.3.256/',
    'https://%31%32%37.0.0.1/',
    'https://127。0。0。1/',
    'https://①②⑦.0.0.1/',
    'https://１２７.０.０.１/',
    'https://169.254.169.254/latest/meta-data/',
    // IPv6
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[2606:4700:4700::1111]/',
    'https://[fe80::1%25eth0]/',
    'https://2606:4700::1111/',
    // names that are not public
    'https://localhost/',
    'https://localhost./',
    'https://LOCALHOST/',
    'https://loc%61lhost/',
    'https://app.localhost/',
    'https://app.LocalHost./',
    'https://printer.local/',
    'https://printer.local./',
    'https://metadata.google.internal/',
    'https://vault.internal:8443/',
    'https://listener/',
    'https://listener./',
    'https://com/',
    'https://./',
    'https://example..com/',
    'https://.example.com/',
    'https://example.com../',
    'https://exa mple.com/',
    'https://exa<mple.com/',
    // ports
    'https://listener.example.com:0/',
    'https://listener.example.com:22/',
    'https://listener.example.com:80/',
    'https://listener.example.com:442/',
    'https://listener.example.com:444/',
    'https://listener.example.com:1023/',
    'https://listener.example.com:65536/',
    'https://listener.example.com:-1/',
    'https://listener.example.com:https/',
  ])('the endpoint URL %j is refused', (url) => {
    expect(checkEndpointUrl(url, false)).toMatchObject({ ok: false, reason: expect.any(String) });
  });
});

describe('an endpoint URL while private endpoints are allowed', () => {
  it.each([
    'http://127.0.0.1:8080/hooks',
    'http://localhost:22/',
    'https://[::1]:1/',
    'http://listener/',
    'https://listener.example.com/',
  ])('the endpoint URL %s is accepted while private endpoints are allowed', (url) => {
    expect(accepted(url, true)).toBe(true);
    expect(accepted(url.replace('https:', 'http:'), false)).toBe(false);
  });

  it.each([
    'ftp://127.0.0.1/',
    'http://user@127.0.0.1/',
    'http://127.0.0.1/#x',
    'http://127.0.0.1/a b',
    'http:127.0.0.1',
  ])('the endpoint URL %s is refused even while private endpoints are allowed', (url) => {
    expect(accepted(url, true)).toBe(false);
  });
});

describe('a public address', () => {
  it.each([
    '8.8.8.8',
    '1.1.1.1',
    '9.255.255.255',
    '11.0.0.0',
    '100.63.255.255',
    '100.128.0.0',
    '126.255.255.255',
    '128.0.0.1',
    '169.253.255.255',
    '169.255.0.0',
    '172.15.255.255',
    '172.32.0.0',
    '192.167.255.255',
    '192.169.0.0',
    '198.17.255.255',
    '198.20.0.0',
    '223.255.255.255',
    '2606:4700:4700::1111',
    '2a00:1450:4001:80b::200e',
    '2001:4860:4860::8888',
    '2400:cb00::1',
    // embedding a public IPv4 address
    '::ffff:8.8.8.8',
    '::ffff:808:808',
    '2002:808:808::1',
    '64:ff9b::8.8.8.8',
    '2001:0:808:808:0:0:f7f7:f7f7',
  ])('the address %s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true);
  });
});

describe('an address that is not public', () => {
  it.each([
    // "this network", private, carrier-grade NAT, loopback, link-local
    '0.0.0.0',
    '0.1.2.3',
    '10.0.0.0',
    '10.255.255.255',
    '100.64.0.0',
    '100.127.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.0.0',
    '169.254.169.254',
    '172.16.0.0',
    '172.31.255.255',
    '192.168.0.0',
    '192.168.255.255',
    // protocol assignments, documentation, benchmarking, multicast, reserved, broadcast
    '192.0.0.1',
    '192.0.2.1',
    '198.51.100.1',
    '203.0.113.255',
    '192.88.99.1',
    '198.18.0.0',
    '198.19.255.255',
    '224.0.0.1',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    // IPv6 special ranges
    '::',
    '::1',
    'fe80::1',
    'febf::1',
    'fe80::1%eth0',
    'fec0::1',
    'fc00::1',
    'fdff:ffff::1',
    'ff02::1',
    'ff0e::1',
    '100::1',
    '2001:db8::1',
    '3fff::1',
    '2001:2::1',
    '2001:10::1',
    '2001:20::1',
    '5f00::1',
    '64:ff9b:1::808:808',
    '::ffff:0:808:808',
    '4000::1',
    '1::1',
    // embedding a private IPv4 address
    '::ffff:10.0.0.1',
    '::ffff:127.0.0.1',
    '::ffff:a9fe:a9fe',
    '0:0:0:0:0:ffff:7f00:1',
    '::127.0.0.1',
    '::a00:1',
    '2002:a00:1::1',
    '2002:7f00:1::',
    '2002:a9fe:a9fe::1',
    '2002:c0a8:101::8.8.8.8',
    '64:ff9b::10.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b::169.254.169.254',
    // Teredo: a private client (flipped), then a private server
    '2001:0:808:808:0:0:f5ff:fffe',
    '2001:0:a00:1:0:0:f7f7:f7f7',
    // texts that are not addresses
    '',
    'localhost',
    'listener.example.com',
    '1.2.3.256',
    '8.8.8.8:53',
    '8.8.8.8/32',
    '[2606:4700:4700::1111]',
    ':::1',
    '"8.8.8.8"',
    // spellings that no name service gives
    '8.8',
    '134744072',
    '010.8.8.8',
    '0x8.8.8.8',
    '2606:4700:4700::1111%eth0',
  ])('the address %j is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});
