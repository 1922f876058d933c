/** Where to report a fault: `/.well-known/security.txt` (contract 10.5, RFC 9116). */
import { describe, expect, it } from 'vitest';
import { callIn, environmentWith } from '../support/requests.ts';
import { BASE_URL, call } from '../support/world.ts';

const PATH = '/.well-known/security.txt';

describe('security.txt', () => {
  it('a deployment with a contact shows it, with a date of expiry and its address', async () => {
    const environment = environmentWith({ SECURITY_CONTACT: 'mailto:security@example.com' });
    const before = Date.now();
    const reply = await callIn(environment, 'GET', PATH);
    expect(reply.status).toBe(200);
    expect(reply.headers.get('content-type')).toMatch(/^text\/plain; charset=utf-8$/i);
    const lines = (reply.body as string).split('\n');
    expect(lines).toEqual([
      'Contact: mailto:security@example.com',
      expect.stringMatching(/^Expires: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      `Canonical: ${BASE_URL}${PATH}`,
      '',
    ]);
    const expires = Date.parse(lines[1]?.slice('Expires: '.length) ?? '');
    expect(expires).toBeGreaterThan(before + 170 * 86_400_000);
    expect(expires).toBeLessThan(before + 365 * 86_400_000);
  });

  it('a deployment without a contact has no security.txt', async () => {
    const reply = await call('GET', PATH);
    expect(reply.status).toBe(404);
    expect(reply.body).toMatchObject({ details: 'Route not found' });
  });
});
