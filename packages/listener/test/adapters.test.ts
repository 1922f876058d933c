import { Hono } from 'hono';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createReceiver, onHono, onWorkers } from '../src/index.ts';
import { ENDPOINT, type Service, startService } from './service.ts';

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());

const post = (body: string) =>
  new Request(ENDPOINT, { method: 'POST', headers: { 'content-type': 'application/secevent+jwt' }, body });

/** What the platform hands to a request: keeps a promise alive after the sender went away. */
function context() {
  const kept: Promise<unknown>[] = [];
  return {
    kept,
    waitUntil: (promise: Promise<unknown>) => void kept.push(promise),
    passThroughOnException() {},
    props: {},
  };
}

describe('a receiver in Hono', () => {
  const receiver = (taken: string[]) =>
    createReceiver({
      jwksUrl: service.jwksUrl,
      issuer: service.issuer,
      audience: ENDPOINT,
      onEvent: ({ jti }) => void taken.push(jti),
    });

  it('a receiver in Hono takes a token, and refuses another body with the error of RFC 8935', async () => {
    const taken: string[] = [];
    const app = new Hono().post('/hooks', onHono(receiver(taken)));
    expect((await app.request(post(await service.sign({ jti: 'in Hono' })))).status).toBe(202);
    expect(taken).toEqual(['in Hono']);
    expect(await (await app.request(post('no token'))).json()).toMatchObject({ err: 'invalid_request' });
  });

  it('a receiver in Hono takes a token whose body a middleware has read', async () => {
    const taken: string[] = [];
    const app = new Hono();
    app.use(async (c, next) => {
      await c.req.text();
      await next();
    });
    app.post('/hooks', onHono(receiver(taken)));
    expect((await app.request(post(await service.sign()))).status).toBe(202);
    expect(taken).toHaveLength(1);
  });

  it('a receiver in Hono on Workers goes on with its work when the sender goes away', async () => {
    const app = new Hono().post('/hooks', onHono(receiver([])));
    const ctx = context();
    const answer = await app.fetch(post(await service.sign()), {}, ctx);
    expect(answer.status).toBe(202);
    expect(ctx.kept).toHaveLength(1);
  });
});

describe('a receiver as a Worker', () => {
  it('a Worker makes one receiver for all requests, from the bindings of the first', async () => {
    const made: string[] = [];
    const taken: string[] = [];
    const worker = onWorkers((env: { readonly ISSUER: string }) => {
      made.push(env.ISSUER);
      return {
        jwksUrl: service.jwksUrl,
        issuer: env.ISSUER,
        audience: ENDPOINT,
        onEvent: ({ jti }) => void taken.push(jti),
      };
    });
    const token = await service.sign({ jti: 'in a Worker' });
    for (let i = 0; i < 2; i++) {
      const ctx = context();
      const answer = await worker.fetch(post(token), { ISSUER: service.issuer }, ctx);
      expect(answer.status).toBe(202);
      expect(ctx.kept).toHaveLength(1);
    }
    expect([made, taken]).toEqual([[service.issuer], ['in a Worker']]);
  });
});
