/**
 * A listener as a customer would write it: `@identity-webhooks/listener` verifies each security event token against the
 * service's published keys and drops repeats; this program prints what is left.
 *
 *     npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk --port 9000
 *
 * It takes tokens for the endpoint http://127.0.0.1:{port}/hooks; `--endpoint URL` names another.
 */
import { createServer, type Server } from 'node:http';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Claims, createReceiver, onNode } from '@identity-webhooks/listener';

export interface ListenerOptions {
  /** URL of the customer's keys. */
  readonly jwksUrl: string;
  /** `iss` of every token: `{BASE_URL}/{CID}/webhooks`. Unset: any. */
  readonly issuer?: string;
  /** The URLs of the endpoints that this listener serves, as the subscriptions have them: `aud` of every token. */
  readonly endpoints: readonly string[];
  /** Called once for each event that verified, however often it was sent. */
  onEvent(claims: Claims, token: string): void;
  /** Called for each request that was refused. */
  onRefused(reason: string): void;
  /** A status to answer with instead of the listener's own, to try out retries. */
  interfere?(path: string): number | undefined;
}

export function createListener(options: ListenerOptions): Server {
  const { jwksUrl, issuer, endpoints } = options;
  const listen = onNode(
    createReceiver({
      jwksUrl,
      ...(issuer === undefined ? {} : { issuer }),
      audience: endpoints,
      // In production: also a table of your database as `seen`.
      onEvent: (claims, token) => options.onEvent(claims, token),
      onRefused: ({ message }) => options.onRefused(message),
      onFailed: (error) => options.onRefused(error instanceof Error ? error.message : String(error)),
    }),
  );
  return createServer((request, response) => {
    const status = options.interfere?.(request.url ?? '/');
    if (status === undefined) return listen(request, response);
    request.resume();
    response.writeHead(status).end();
  });
}

function main(): void {
  const { values } = parseArgs({
    options: {
      jwks: { type: 'string' },
      issuer: { type: 'string' },
      endpoint: { type: 'string' },
      port: { type: 'string', default: '9000' },
    },
  });
  if (values.jwks === undefined) {
    console.error(
      'usage: npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk [--port 9000] [--endpoint URL]',
    );
    process.exit(2);
  }
  const server = createListener({
    jwksUrl: values.jwks,
    ...(values.issuer === undefined ? {} : { issuer: values.issuer }),
    endpoints: [values.endpoint ?? `http://127.0.0.1:${values.port}/hooks`],
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
