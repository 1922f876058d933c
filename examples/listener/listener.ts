/**
 * A listener as a customer would write it: `@identity-webhooks/listener` verifies each security event token against the
 * service's published keys and drops repeats; this program prints what is left.
 *
 *     npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk --port 9000
 *
 * It takes tokens for the endpoint http://127.0.0.1:{port}/hooks; `--endpoint URL` names another, and may be repeated. The
 * issuer is that of the customer whose keys these are; `--issuer URL` names another.
 */
import { createServer, type Server } from 'node:http';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Claims, createReceiver, onNode } from '@identity-webhooks/listener';

export interface ListenerOptions {
  /** URL of the customer's keys. */
  readonly jwksUrl: string;
  /** `iss` of every token: `{BASE_URL}/{CID}/webhooks`. */
  readonly issuer: string;
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
      issuer,
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

const USAGE =
  'usage: npm run listener -- --jwks http://127.0.0.1:8787/{CID}/login/jwk [--issuer URL] [--port 9000] [--endpoint URL]…';

/** @returns nothing if only the usage is asked for @throws Error if an argument is unknown or wrong */
function readArguments() {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h' },
      jwks: { type: 'string' },
      issuer: { type: 'string' },
      endpoint: { type: 'string', multiple: true },
      port: { type: 'string', default: '9000' },
    },
  });
  if (values.help) return undefined;
  const { jwks = '', port } = values;
  if (!/^https?:$/.test(URL.parse(jwks)?.protocol ?? ''))
    throw new Error('--jwks must be the URL of the keys');
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new Error('--port must be a number up to 65535');
  return {
    jwksUrl: jwks,
    issuer: values.issuer ?? jwks.replace(/\/login\/jwk$/, '/webhooks'),
    endpoints: values.endpoint ?? [`http://127.0.0.1:${port}/hooks`],
    port: Number(port),
  };
}

function main(): void {
  let given: ReturnType<typeof readArguments>;
  try {
    given = readArguments();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
  }
  if (given === undefined) {
    console.error(USAGE);
    process.exit(2);
  }
  const { port } = given;
  const server = createListener({
    ...given,
    onEvent: (claims) => console.log(`verified ${claims.jti}\n${JSON.stringify(claims, null, 2)}`),
    onRefused: (reason) => console.log(`refused: ${reason}`),
  });
  server.on('error', (error) => {
    console.error(`cannot listen on port ${port}: ${error.message}`);
    process.exit(1);
  });
  server.listen(port, '127.0.0.1', () => {
    console.log(`listening on http://127.0.0.1:${port}`);
  });
}

if (argv[1] === fileURLToPath(import.meta.url)) main();
