/**
 * The skeleton: the hops of a delivery with no work in them. It shows what the runtime itself takes, and so what of a delivery is
 * ours. Its bindings are set as those of the service.
 *
 *     POST /?to=URL          puts the body on a queue, and answers when it is there
 *     POST /sign?count=N     signs a text of a SET's size N times with RS256, one after the other
 *
 * The consumer makes one query of D1 and one call of an object for each batch, posts each body, and has the object insert one row.
 */
import { DurableObject } from 'cloudflare:workers';

/** As many as the service makes at once. */
const FETCHES = 5;

export class Store extends DurableObject {
  constructor(state, env) {
    super(state, env);
    state.storage.sql.exec('CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, count INTEGER)');
  }

  admit() {
    return true;
  }

  settle(count) {
    this.ctx.storage.sql.exec('INSERT INTO results (count) VALUES (?)', count);
  }
}

async function sign(count) {
  const name = 'RSASSA-PKCS1-v1_5';
  const algorithm = { name, modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
  const { privateKey } = await crypto.subtle.generateKey(algorithm, false, ['sign']);
  const text = new Uint8Array(900);
  for (let index = 0; index < count; index++) await crypto.subtle.sign(name, privateKey, text);
}

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/sign') {
      await sign(Number(searchParams.get('count')));
      return new Response('signed');
    }
    await env.HOP.send({ to: searchParams.get('to'), body: await request.text() });
    return new Response('queued', { status: 202 });
  },
  async queue({ messages }, env) {
    await env.DB.prepare('SELECT 1 AS one').first();
    const store = env.STORE.get(env.STORE.idFromName('one'));
    await store.admit();
    const next = messages[Symbol.iterator]();
    const post = async () => {
      for (const { body } of next) {
        const response = await fetch(body.to, { method: 'POST', body: body.body });
        await response.body?.cancel();
      }
    };
    await Promise.all(Array.from({ length: FETCHES }, post));
    await store.settle(messages.length);
  },
};
