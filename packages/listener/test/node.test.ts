import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createReceiver, onNode } from '../src/index.ts';
import { ENDPOINT, type Service, startService } from './service.ts';

let service: Service;
let server: Server;
const taken: string[] = [];

beforeAll(async () => {
  service = await startService();
  const { jwksUrl, issuer } = service;
  server = createServer(
    onNode(
      createReceiver({ jwksUrl, issuer, audience: ENDPOINT, onEvent: ({ jti }) => void taken.push(jti) }),
    ),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await service.close();
});

/** Sends chunks without a content length. @returns the answer's status and body */
function send(method: string, ...chunks: (string | Uint8Array)[]): Promise<{ status: number; body: string }> {
  const { port } = server.address() as AddressInfo;
  const headers = { 'content-type': 'application/secevent+jwt', 'transfer-encoding': 'chunked' };
  return new Promise((resolve, reject) => {
    const outgoing = request({ port, method, headers }, async (response: IncomingMessage) => {
      let body = '';
      for await (const chunk of response.setEncoding('utf8')) body += chunk as string;
      resolve({ status: response.statusCode ?? 0, body });
    });
    outgoing.on('error', reject);
    for (const chunk of chunks) outgoing.write(chunk);
    outgoing.end();
  });
}

describe('a receiver behind node:http', () => {
  it('a receiver takes a valid token that comes in pieces', async () => {
    const jti = crypto.randomUUID();
    const token = await service.sign({ jti });
    expect(await send('POST', token.slice(0, 100), token.slice(100))).toEqual({ status: 202, body: '' });
    expect(taken).toContain(jti);
  });

  it('a receiver refuses a malformed body with the error of RFC 8935', async () => {
    const { status, body } = await send('POST', '{"not":"a token"}');
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ err: 'invalid_request' });
  });

  it('a receiver answers 413 to a body that is too large, and the sender can read the answer', async () => {
    const chunks = Array.from({ length: 40 }, () => new Uint8Array(65_536));
    expect(await send('POST', ...chunks)).toMatchObject({ status: 413 });
  });

  it('a receiver answers 405 to another method than POST', async () => {
    expect(await send('PUT', 'x')).toMatchObject({ status: 405 });
  });
});
