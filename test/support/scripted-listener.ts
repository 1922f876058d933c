/**
 * The listener of every test: a real HTTP server that answers as its script says. It runs in Node, outside the runtime
 * under test, and the service reaches it at 127.0.0.1.
 *
 *     PUT  /scripts/{name}          sets the answers, in order; the last one repeats; without a script it answers 200
 *     POST /hooks/{name}            the endpoint that the service calls
 *     GET  /scripts/{name}/calls    the calls so far
 *     POST /scripts/{name}/release  answers the calls that hang
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Answer, Call } from './listener-script.ts';

export interface ScriptedListener {
  readonly url: string;
  /** Stops the server and cuts its connections. */
  close(): Promise<void>;
}

interface Script {
  answers: Answer[];
  calls: Call[];
  hanging: (() => void)[];
}

export async function startScriptedListener(port = 0): Promise<ScriptedListener> {
  const scripts = new Map<string, Script>();
  const server = createServer((request, response) => {
    handle(scripts, request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${bound}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function handle(
  scripts: Map<string, Script>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, kind, name = '', part] = (request.url ?? '').split(/[/?]/);
  let script = scripts.get(name);
  if (script === undefined) {
    script = { answers: [], calls: [], hanging: [] };
    scripts.set(name, script);
  }
  const body = await read(request);
  if (kind === 'scripts' && request.method === 'PUT') {
    script.answers = JSON.parse(body) as Answer[];
    response.end();
  } else if (kind === 'scripts' && part === 'calls') {
    response.end(JSON.stringify(script.calls));
  } else if (kind === 'scripts' && part === 'release') {
    for (const go of script.hanging.splice(0)) go();
    response.end();
  } else if (kind === 'hooks') {
    const call: Call = {
      path: request.url ?? '',
      headers: request.headers,
      body,
      at: Date.now(),
      sent: 0,
      closed: false,
    };
    response.on('close', () => {
      call.closed = true;
    });
    script.calls.push(call);
    const answer = (script.answers.length > 1 ? script.answers.shift() : script.answers[0]) ?? {};
    if (answer.manner === 'hang') await new Promise<void>((resolve) => script.hanging.push(resolve));
    give(answer, request, response, call);
  } else {
    response.writeHead(404).end();
  }
}

function give(answer: Answer, request: IncomingMessage, response: ServerResponse, call: Call): void {
  const { status = 200, headers = {}, body = 'ok', manner } = answer;
  switch (manner) {
    case 'reset':
      request.socket.resetAndDestroy();
      return;
    case 'garbage':
      request.socket.end('this is not HTTP\r\n\r\n');
      return;
    case 'break off':
      response.writeHead(status, { ...headers, 'content-length': '1000' });
      response.write('the start of an answer', () => request.socket.destroy());
      return;
    case 'endless':
    case 'drip': {
      response.writeHead(status, headers);
      const piece = manner === 'drip' ? 'x' : 'x'.repeat(16_384);
      const write = () => {
        if (response.destroyed) return clearInterval(timer);
        // `sent` shows a service that reads for ever. The server waits until the connection takes more, and stops at
        // this limit.
        if (response.writableNeedDrain || call.sent >= 64 * 1_048_576) return;
        response.write(piece);
        call.sent += piece.length;
      };
      const timer = setInterval(write, manner === 'drip' ? 100 : 1);
      write();
      response.on('close', () => clearInterval(timer));
      return;
    }
    case 'interim':
      response.writeContinue();
      response.writeEarlyHints({ link: '</style.css>; rel=preload' });
      response.writeHead(status, headers);
      response.end(body);
      return;
    case 'hang':
    case undefined:
      response.writeHead(status, headers);
      response.end(body);
  }
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk as string;
  return text;
}
