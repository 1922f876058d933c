import { describe, expect, it } from 'vitest';
import { createResolver } from '../../src/outbound/dns-over-https.ts';

const NAME = 'listener.example.com';

const NO_ERROR = { Status: 0, TC: false, RD: true, RA: true, AD: false, CD: false };
const record = (type: number, data: string) => ({ name: NAME, type, TTL: 60, data });

/** What a look-up finds when the name service gives this answer. */
async function lookup(answer: () => Response | Promise<Response>) {
  return await createResolver(async () => await answer())(NAME, 'A');
}

const found = (body: unknown) => lookup(() => Response.json(body));

describe('the question to the name service', () => {
  it.each(['A', 'AAAA'] as const)('the name service is asked for %s in JSON', async (type) => {
    const asked: [string, RequestInit | undefined][] = [];
    const resolver = createResolver(async (input, init) => {
      asked.push([String(input), init as RequestInit]);
      return Response.json({ Status: 0 });
    });
    await resolver('list&ner.example.com', type);
    const [[url = '', init] = []] = asked;
    expect(asked).toHaveLength(1);
    expect(url).toBe(`https://cloudflare-dns.com/dns-query?name=list%26ner.example.com&type=${type}`);
    expect(init).toMatchObject({ headers: { accept: 'application/dns-json' }, redirect: 'manual' });
    expect(init?.signal).toBeInstanceOf(AbortSignal);
  });
});

describe('an answer with addresses', () => {
  it('the addresses of an answer are its A and AAAA records, and no others', async () => {
    const answer = [
      record(5, 'edge.example.net.'),
      record(1, '8.8.8.8'),
      record(46, 'A 13 3 60 20261201000000 …'),
      record(28, '2606:4700:4700::1111'),
    ];
    expect(await found({ ...NO_ERROR, Answer: answer })).toEqual({
      kind: 'addresses',
      addresses: ['8.8.8.8', '2606:4700:4700::1111'],
    });
  });

  it('an A record that holds no address is passed on, so that the check refuses it', async () => {
    expect(await found({ ...NO_ERROR, Answer: [record(1, 'nonsense')] })).toMatchObject({
      addresses: ['nonsense'],
    });
  });

  it.each([
    ['has no records', NO_ERROR],
    ['does not exist', { ...NO_ERROR, Status: 3, Authority: [record(6, 'ns.example.com.')] }],
    ['has only an alias', { ...NO_ERROR, Answer: [record(5, 'edge.example.net.')] }],
  ])('a name that %s has no addresses', async (_, body) => {
    expect(await found(body)).toEqual({ kind: 'addresses', addresses: [] });
  });
});

describe('an answer that says that the name servers failed', () => {
  it.each([
    ['SERVFAIL', { ...NO_ERROR, Status: 2 }],
    ['REFUSED', { ...NO_ERROR, Status: 5 }],
    ['NOTIMP', { ...NO_ERROR, Status: 4 }],
    ['SERVFAIL with records', { ...NO_ERROR, Status: 2, Answer: [record(1, '8.8.8.8')] }],
    ['that it was cut off', { ...NO_ERROR, TC: true, Answer: [record(1, '8.8.8.8')] }],
  ])('the name servers failed when the answer says %s', async (_, body) => {
    expect(await found(body)).toEqual({ kind: 'servers failed' });
  });

  it('an answer longer than 64 KiB is refused as a failure of the name servers, and not read to its end', async () => {
    let sent = 0;
    let isCanceled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 8192;
        controller.enqueue(new Uint8Array(8192).fill(0x20));
      },
      cancel() {
        isCanceled = true;
      },
    });
    expect(await lookup(() => new Response(endless))).toEqual({ kind: 'servers failed' });
    expect(sent).toBeLessThan(100_000);
    expect(isCanceled).toBe(true);
  });
});

describe('a name service that is away', () => {
  it.each<[string, () => Response | Promise<Response>]>([
    ['answers 429', () => new Response('', { status: 429 })],
    ['answers 500', () => new Response('', { status: 500 })],
    ['redirects', () => new Response(null, { status: 302, headers: { location: 'https://other.example' } })],
    ['cannot be reached', () => Promise.reject(new Error('Network connection lost.'))],
    ['answers with text', () => new Response('<html>')],
    ['answers with an error', () => Response.json({ error: 'Invalid query' })],
    ['answers without a status', () => Response.json({ Answer: [record(1, '8.8.8.8')] })],
    [
      'answers with records of an unknown form',
      () => Response.json({ ...NO_ERROR, Answer: [{ type: 'A', data: 1 }] }),
    ],
    [
      'answers with one record of an unknown form',
      () => Response.json({ ...NO_ERROR, Answer: [record(1, '8.8.8.8'), { type: 1 }] }),
    ],
  ])('the name service is away when it %s', async (_, answer) => {
    expect(await lookup(answer)).toEqual({ kind: 'resolver away' });
  });
});
