/** A receiver behind `node:http`. */
import type { IncomingMessage, RequestListener } from 'node:http';
import type { Receiver } from './receive.ts';

/** `createServer(onNode(createReceiver({ … })))` */
export function onNode(receive: Receiver): RequestListener {
  return async (incoming, outgoing) => {
    try {
      if (incoming.method !== 'POST') {
        // A `Request` cannot have every method that a client may send (TRACE).
        outgoing.writeHead(405, { allow: 'POST' }).end();
        incoming.resume();
        return;
      }
      const answer = await receive(toRequest(incoming));
      if (!incoming.complete) outgoing.setHeader('connection', 'close');
      outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
      outgoing.end(await answer.text());
      incoming.resume(); // drops the rest of a body that was too large, so that the sender reads the answer
    } catch {
      outgoing.destroy();
    }
  };
}

/** The parts of a POST that a receiver reads; the URL is not one of them. */
function toRequest(incoming: IncomingMessage): Request {
  const { headers } = incoming;
  const has = { type: headers['content-type'], length: headers['content-length'] };
  return new Request('http://localhost/', {
    method: 'POST',
    headers: {
      ...(has.type === undefined ? {} : { 'content-type': has.type }),
      ...(has.length === undefined ? {} : { 'content-length': has.length }),
    },
    // A receiver stops reading when a body is too large: the connection must outlive that, for the answer.
    body: ReadableStream.from(incoming.iterator({ destroyOnReturn: false })),
    duplex: 'half',
  });
}
