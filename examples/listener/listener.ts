/**
 * A listener as a customer would write it: takes security event tokens, verifies each against the service's
 * published keys, drops repeats, and answers quickly.
 *
 *     npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk --port 9000
 */
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose';

export interface ListenerOptions {
  /** Where the keys are: from your own configuration, never from the token's `jku`. */
  readonly jwksUrl: string;
  /** `iss` of every token: `{BASE_URL}/{CID}/webhooks`. Unset: any. */
  readonly issuer?: string;
  /** Called once for each event that verified, however often it was sent. */
  onEvent(claims: JWTPayload, token: string): void;
  /** Called for whatever did not verify. */
  onRefused(reason: string): void;
  /** A status to answer with instead of the listener's own, to try out retries. */
  interfere?(path: string): number | undefined;
}

/** A token is about 1.5 KB; with 500 attribute names it stays well below this. */
const BODY_MAX_BYTES = 262_144;

export function createListener(options: ListenerOptions): Server {
  const keys = createRemoteJWKSet(new URL(options.jwksUrl));
  // In production: a table with an expiry, because delivery is at least once and may repeat days later.
  const seen = new Set<string>();
  return createServer(async (request, response) => {
    const interference = options.interfere?.(request.url ?? '/');
    if (interference !== undefined) {
      request.resume();
      response.writeHead(interference).end();
      return;
    }
    if (request.method !== 'POST' || request.headers['content-type'] !== 'application/secevent+jwt') {
      response.writeHead(415).end();
      return;
    }
    try {
      const token = await readBody(request);
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ['RS256'],
        typ: 'secevent+jwt',
        ...(options.issuer === undefined ? {} : { issuer: options.issuer }),
      });
      if (payload.jti === undefined) throw new Error('the token has no jti');
      if (!seen.has(payload.jti)) {
        seen.add(payload.jti);
        options.onEvent(payload, token);
      }
      response.writeHead(202).end();
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      options.onRefused(reason);
      // RFC 8935, 2.4: what is wrong, in words the service keeps in the event's history.
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ err: 'invalid_key', description: reason }));
    }
  });
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk as string;
    if (body.length > BODY_MAX_BYTES) throw new Error('the body is too large');
  }
  return body;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      jwks: { type: 'string' },
      issuer: { type: 'string' },
      port: { type: 'string', default: '9000' },
    },
  });
  if (values.jwks === undefined) {
    console.error('usage: npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk [--port 9000]');
    process.exit(2);
  }
  const server = createListener({
    jwksUrl: values.jwks,
    ...(values.issuer === undefined ? {} : { issuer: values.issuer }),
    onEvent: (claims) => console.log(`verified ${claims.jti}\n${JSON.stringify(claims, null, 2)}`),
    onRefused: (reason) => console.log(`refused: ${reason}`),
  });
  server.on('error', (error) => {
    console.error(`cannot listen on port ${values.port}: ${error.message}`);
    process.exit(1);
  });
  server.listen(Number(values.port), '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${values.port}`);
  });
}

if (argv[1] === fileURLToPath(import.meta.url)) main();
