import { SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Claims, createReceiver, type ReceiverOptions, Refusal } from '../src/index.ts';
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

  it('a receiver of several endpoints accepts a token for each of them, and for no other', async () => {
    const endpoints = ['https://listener.example/a', 'https://listener.example/b'];
    const receive = receiver({ audience: endpoints });
    const statuses = [];
    for (const aud of [...endpoints, 'https://listener.example/partner']) {
      statuses.push((await receive(post(await service.sign({ aud: [aud], jti: aud })))).status);
    }
    expect(statuses).toEqual([202, 202, 400]);
  });

  it('a receiver of several customers of a key set accepts each of their issuers, and no other', async () => {
    const issuers = ['https://a.example', 'https://b.example'];
    const receive = receiver({ issuer: issuers });
    const statuses = [];
    for (const iss of [...issuers, service.issuer])
      statuses.push((await receive(post(await service.sign({ iss })))).status);
    expect(statuses).toEqual([202, 202, 400]);
  });

  it.each([
    ['no audience', { audience: undefined }],
    ['an empty audience', { audience: '' }],
    ['an empty list of audiences', { audience: [] }],
    ['no issuer', { issuer: undefined }],
    ['an empty issuer', { issuer: '' }],
    ['an empty list of issuers', { issuer: [] }],
  ])('a receiver with %s is not made: it would take tokens of others', (_, options) => {
    const [name = ''] = Object.keys(options);
    expect(() => receiver(options as Partial<ReceiverOptions>)).toThrow(name);
  });

  it('a token is accepted with parameters and capitals in its media type', async () => {
    const answer = await receiver()(post(await service.sign(), 'Application/SecEvent+JWT; charset=utf-8'));
    expect(answer.status).toBe(202);
  });
});

describe('a token that is signed with EdDSA', () => {
  let eddsa: Service;
  beforeAll(async () => {
    eddsa = await startService('EdDSA');
  });
  afterAll(() => eddsa.close());

  it('a token that is signed with EdDSA is accepted, and so is one of an RSA key that was published with it', async () => {
    const { jwksUrl, issuer } = eddsa;
    const receive = receiver({ jwksUrl, issuer });
    expect((await receive(post(await eddsa.sign()))).status).toBe(202);
    await eddsa.rotate('RS256');
    const fresh = receiver({ jwksUrl, issuer });
    expect((await fresh(post(await eddsa.sign()))).status).toBe(202);
    await eddsa.rotate('EdDSA');
  });

  it('a token whose header names another algorithm than its key has is refused', async () => {
    const { jwksUrl, issuer } = eddsa;
    const [, payload = '', signature = ''] = (await eddsa.sign()).split('.');
    const kid = 'key-1';
    for (const [alg, code] of [
      ['RS256', 'invalid_key'],
      ['HS256', 'invalid_request'],
      ['ES256', 'invalid_request'],
      ['none', 'invalid_request'],
    ] as const) {
      const header = Buffer.from(JSON.stringify({ alg, kid, typ: 'secevent+jwt' })).toString('base64url');
      const answer = await receiver({ jwksUrl, issuer })(post([header, payload, signature].join('.')));
      expect(await answer.json(), alg).toMatchObject({ err: code });
    }
    expect(taken).toEqual([]);
  });

  it('a token that was signed with the published key as a secret is refused', async () => {
    const { jwksUrl, issuer } = eddsa;
    const { keys } = (await (await fetch(jwksUrl)).json()) as { keys: { kid: string; x?: string }[] };
    const { kid, x = '' } = keys[0] ?? { kid: '' };
    const forged = await new SignJWT({
      iss: issuer,
      aud: [ENDPOINT],
      iat: 1_800_000_000,
      jti: 'forged',
      events: {},
    })
      .setProtectedHeader({ alg: 'HS256', kid, typ: 'secevent+jwt' })
      .sign(Buffer.from(x, 'base64url'));
    const answer = await receiver({ jwksUrl, issuer })(post(forged));
    expect(await answer.json()).toMatchObject({ err: 'invalid_request' });
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
    expect(answer.headers.get('content-type')).toBe('application/json');
    expect(answer.headers.get('content-language')).toBe('en');
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

describe('an event that the program refuses', () => {
  it('an event is answered 400 with the code of the refusal that the program throws', async () => {
    const receive = receiver({
      onEvent: () => {
        throw new Refusal('this customer has left', 'access_denied');
      },
    });
    const answer = await receive(post(await service.sign()));
    expect(answer.status).toBe(400);
    expect(await answer.json()).toEqual({ err: 'access_denied', description: 'this customer has left' });
  });
});

describe('two receivers that share a store', () => {
  /** A store as a database has it: one statement claims an id. */
  function sharedStore() {
    const rows = new Map<string, 'claimed' | 'taken'>();
    return {
      has: async (jti: string) => rows.get(jti) === 'taken',
      add: async (jti: string) => rows.set(jti, 'taken'),
      claim: async (jti: string) => !rows.has(jti) && rows.set(jti, 'claimed') !== undefined,
      release: async (jti: string) => rows.delete(jti),
    };
  }

  it('a copy that comes while another receiver takes the event is answered 503 with Retry-After, and taken by nobody', async () => {
    const seen = sharedStore();
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const first = receiver({
      seen,
      onEvent: (claims) => {
        taken.push(claims);
        begun.resolve();
        return gate.promise;
      },
    });
    const second = receiver({ seen });
    const token = await service.sign();
    const answer = first(post(token));
    await begun.promise;
    const busy = await second(post(token));
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '10']);
    gate.resolve();
    expect((await answer).status).toBe(202);
    expect((await second(post(token))).status).toBe(202);
    expect(taken).toHaveLength(1);
  });

  it('a copy is taken by the second receiver when the first one failed', async () => {
    const seen = sharedStore();
    const first = receiver({ seen, onEvent: () => Promise.reject(new Error('the database is away')) });
    const token = await service.sign();
    expect((await first(post(token))).status).toBe(500);
    expect((await receiver({ seen })(post(token))).status).toBe(202);
    expect(taken).toHaveLength(1);
  });
});

describe('the keys', () => {
  let own: Service;
  beforeEach(async () => {
    own = await startService();
    vi.useFakeTimers({ toFake: ['Date'], now: 1_800_000_000_000 });
  });
  afterEach(async () => {
    vi.useRealTimers();
    await own.close();
  });
  const receiverOfOwn = () => receiver({ jwksUrl: own.jwksUrl, issuer: own.issuer });
  const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000);

  it('the keys are asked for once in ten minutes, however many tokens come', async () => {
    const receive = receiverOfOwn();
    for (let i = 0; i < 5; i++) expect((await receive(post(await own.sign()))).status).toBe(202);
    expect(own.asked()).toBe(1);
    later(601);
    expect((await receive(post(await own.sign()))).status).toBe(202);
    expect(own.asked()).toBe(2);
  });

  it('a token of a new key is accepted: an unknown key lets the keys be asked for again, once in 30 seconds', async () => {
    const receive = receiverOfOwn();
    await receive(post(await own.sign()));
    later(31);
    await own.rotate();
    expect((await receive(post(await own.sign()))).status).toBe(202);
    expect(own.asked()).toBe(2);
    for (let i = 0; i < 5; i++) {
      const answer = await receive(post(await own.sign({}, { kid: `forged-${i}` })));
      expect(await answer.json()).toMatchObject({ err: 'invalid_key' });
    }
    expect(own.asked()).toBe(2);
  });

  it.each([
    ['answered with 503', { status: 503, body: '' }],
    ['answered with 404', { status: 404, body: '{}' }],
    ['not JSON', { status: 200, body: '<html>' }],
    ['no key set', { status: 200, body: '{"keys":7}' }],
    [
      'keys of another kind',
      { status: 200, body: '{"keys":[{"kty":"RSA","kid":"key-1","alg":"RS256","n":"AQAB","e":"AQAB"}]}' },
    ],
  ])(
    'a token is answered 503 with Retry-After when the keys are %s: the token is not to blame',
    async (_, answer) => {
      own.interfere(answer);
      const response = await receiverOfOwn()(post(await own.sign()));
      expect([response.status, response.headers.get('retry-after')]).toEqual([503, '10']);
      expect(refused).toEqual([]);
      expect(failed).toMatchObject([{ name: 'KeysUnavailable' }]);
    },
  );

  it('a token is answered 503 when nobody listens where the keys should be', async () => {
    const token = await own.sign();
    await own.close();
    expect((await receiverOfOwn()(post(token))).status).toBe(503);
    own = await startService();
  });

  it('a token of a new key is answered 503 when the keys cannot be fetched again', async () => {
    const receive = receiverOfOwn();
    await receive(post(await own.sign()));
    later(31);
    await own.rotate();
    own.interfere({ status: 503, body: '' });
    expect((await receive(post(await own.sign()))).status).toBe(503);
  });

  it('keys that could not be fetched are asked for again after 3 seconds, however many tokens come before', async () => {
    own.interfere({ status: 503, body: '' });
    const receive = receiverOfOwn();
    for (let i = 0; i < 5; i++) expect((await receive(post(await own.sign()))).status).toBe(503);
    expect(own.asked()).toBe(1);
    own.interfere();
    later(3);
    expect((await receive(post(await own.sign()))).status).toBe(202);
  });

  it('known keys go on to verify tokens after a stranger sent an unknown key while the keys could not be fetched', async () => {
    const receive = receiverOfOwn();
    await receive(post(await own.sign()));
    later(31);
    own.interfere({ status: 503, body: '' });
    expect((await receive(post(await own.sign({}, { kid: 'forged' })))).status).toBe(503);
    expect((await receive(post(await own.sign()))).status).toBe(202);
  });
});
