import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Claims, createReceiver, type ReceiverOptions, type Refusal } from '../src/index.ts';
import { ENDPOINT, type Service, startService } from './service.ts';

let service: Service;
let taken: Claims[];
let refused: Refusal[];
let failed: unknown[];

beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());
beforeEach(() => {
  taken = [];
  refused = [];
  failed = [];
});

function receiver(options: Partial<ReceiverOptions> = {}) {
  return createReceiver({
    jwksUrl: service.jwksUrl,
    issuer: service.issuer,
    audience: ENDPOINT,
    onEvent: (claims) => void taken.push(claims),
    onRefused: (refusal) => void refused.push(refusal),
    onFailed: (error) => void failed.push(error),
    ...options,
  });
}

function post(body: string, contentType = 'application/secevent+jwt'): Request {
  return new Request(ENDPOINT, { method: 'POST', headers: { 'content-type': contentType }, body });
}

describe('a valid token', () => {
  it('a valid token is answered 202, and its claims are handed over', async () => {
    const jti = crypto.randomUUID();
    const answer = await receiver()(post(await service.sign({ jti })));
    expect(answer.status).toBe(202);
    expect(taken).toMatchObject([{ jti, iss: service.issuer, aud: [ENDPOINT] }]);
  });

  it('a token is accepted from any issuer when the options name none', async () => {
    const { jwksUrl } = service;
    const onEvent = (claims: Claims) => void taken.push(claims);
    const receive = createReceiver({ jwksUrl, audience: ENDPOINT, onEvent });
    expect((await receive(post(await service.sign({ iss: 'https://other.example' })))).status).toBe(202);
    expect(taken).toHaveLength(1);
  });

  it('a receiver of several endpoints accepts a token for each of them, and for no other', async () => {
    const endpoints = ['https://listener.example/a', 'https://listener.example/b'];
    const receive = receiver({ audience: endpoints });
    const statuses = [];
    for (const aud of [...endpoints, 'https://listener.example/partner']) {
      statuses.push((await receive(post(await service.sign({ aud: [aud], jti: aud })))).status);
    }
    expect(statuses).toEqual([202, 202, 400]);
  });

  it.each([
    ['no audience', undefined],
    ['an empty audience', ''],
    ['an empty list of audiences', []],
  ])('a receiver with %s is not made: it would take tokens for other listeners', (_, audience) => {
    expect(() => receiver({ audience: audience as string })).toThrow('audience');
  });

  it('a token is accepted with parameters and capitals in its media type', async () => {
    const answer = await receiver()(post(await service.sign(), 'Application/SecEvent+JWT; charset=utf-8'));
    expect(answer.status).toBe(202);
  });
});

describe('a token that does not verify', () => {
  const cases: [string, string, () => Promise<string>][] = [
    ['another issuer', 'invalid_issuer', () => service.sign({ iss: 'https://other.example' })],
    ['another audience', 'invalid_audience', () => service.sign({ aud: ['https://other.example/hooks'] })],
    ['another media type in its header', 'invalid_request', () => service.sign({}, { typ: 'JWT' })],
    ['no jti', 'invalid_request', () => service.sign({ jti: undefined })],
    ['no events', 'invalid_request', () => service.sign({ events: undefined })],
    ['an unknown key', 'invalid_key', () => service.sign({}, { kid: 'key-2' })],
    ['a key of another service under a known id', 'invalid_key', () => signedElsewhere()],
    ['a changed payload', 'invalid_key', async () => tampered(await service.sign())],
    ['no signature', 'invalid_request', async () => unsigned(await service.sign())],
    ['a body that is not a token', 'invalid_request', async () => 'not a token'],
    ['an empty body', 'invalid_request', async () => ''],
  ];

  it.each(cases)('a token is refused with 400 because it has %s: %s', async (_, code, make) => {
    const answer = await receiver()(post(await make()));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({ err: code, description: expect.stringMatching(/\S/) });
    expect(taken).toEqual([]);
    expect(failed).toEqual([]);
    expect(refused).toMatchObject([{ code }]);
  });
});

async function signedElsewhere(): Promise<string> {
  const other = await startService();
  try {
    return await other.sign({ iss: service.issuer });
  } finally {
    await other.close();
  }
}

function tampered(token: string): string {
  const [header, payload = '', signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const changed = Buffer.from(JSON.stringify({ ...claims, jti: 'forged' })).toString('base64url');
  return [header, changed, signature].join('.');
}

function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'secevent+jwt' })).toString('base64url');
  return [header, token.split('.')[1], ''].join('.');
}

describe('a request that carries no token', () => {
  it('a request is refused with 405 when it is not a POST', async () => {
    const answer = await receiver()(new Request(ENDPOINT));
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
  });

  it('a request is refused with 415 when its body is not announced as a token', async () => {
    expect((await receiver()(post(await service.sign(), 'application/json'))).status).toBe(415);
  });

  it('a request is refused with 413 when its body is too large, before the token is read', async () => {
    const receive = receiver({ bodyMaxBytes: 1000 });
    expect((await receive(post('x'.repeat(1001)))).status).toBe(413);
    expect((await receive(post('x'.repeat(1000)))).status).toBe(400);
  });
});

describe('a repeat', () => {
  it('a repeat is answered 202 and not handed over again', async () => {
    const receive = receiver();
    const token = await service.sign();
    expect((await receive(post(token))).status).toBe(202);
    expect((await receive(post(token))).status).toBe(202);
    expect(taken).toHaveLength(1);
  });

  it('a repeat is handed over when the first try threw, which was answered 500', async () => {
    let tries = 0;
    const receive = receiver({
      onEvent: () => {
        if (++tries === 1) throw new Error('the database is away');
      },
    });
    const token = await service.sign();
    expect((await receive(post(token))).status).toBe(500);
    expect(failed).toMatchObject([{ message: 'the database is away' }]);
    expect((await receive(post(token))).status).toBe(202);
    expect(tries).toBe(2);
  });

  it('a repeat is dropped by a given store, which is read before the event is taken and written after', async () => {
    const calls: string[] = [];
    const receive = receiver({
      onEvent: () => void calls.push('take'),
      seen: {
        has: async () => calls.push('has') > 3,
        add: async () => calls.push('add'),
      },
    });
    const token = await service.sign();
    await receive(post(token));
    await receive(post(token));
    expect(calls).toEqual(['has', 'take', 'add', 'has']);
  });
});

describe('keys that cannot be fetched', () => {
  it('a token whose keys cannot be fetched is answered 500, because the token is not to blame', async () => {
    const silent = await startService(false);
    try {
      const receive = receiver({ jwksUrl: silent.jwksUrl });
      expect((await receive(post(await silent.sign()))).status).toBe(500);
      expect(refused).toEqual([]);
      expect(failed).toHaveLength(1);
    } finally {
      await silent.close();
    }
  });
});
