/** A delivery as others see it (contract 5.1), without links: a resource of the API, or a line of an export. */
import type { AttemptError, ListenerResponse } from './attempt.ts';
import { type Delivery, type DeliveryState, lastAnswer } from './delivery.ts';
import { rfc3339Time } from './time.ts';

interface DeliveryView {
  id: string;
  createdAt: string;
  updatedAt: string;
  state: DeliveryState;
  attempts: number;
  nextAttemptAt?: string;
  request: { endpoint: string; headers: Record<string, string>; payload: string };
  response?: { statusCode: number; headers: Record<string, string> };
  error?: AttemptError;
}

/** @param userAgent the `User-Agent` of our requests; the other headers are computed from the endpoint and the SET */
export function describeDelivery(delivery: Delivery, userAgent: string): DeliveryView {
  const next = delivery.history.at(-1)?.nextAttemptAt;
  const { response, error } = lastAnswer(delivery);
  return {
    id: delivery.eventId,
    createdAt: rfc3339Time(delivery.acceptedAt),
    updatedAt: rfc3339Time(delivery.updatedAt),
    state: delivery.state,
    attempts: delivery.attempts,
    ...(delivery.state === 'awaiting-retry' && next !== undefined
      ? { nextAttemptAt: rfc3339Time(next) }
      : {}),
    request: {
      endpoint: delivery.endpoint,
      headers: {
        Accept: '*/*',
        'Content-Length': String(delivery.set.length),
        'Content-Type': 'application/secevent+jwt',
        Host: new URL(delivery.endpoint).host,
        'User-Agent': userAgent,
      },
      payload: delivery.set,
    },
    ...(response === undefined ? {} : { response: copy(response) }),
    ...(error === undefined ? {} : { error }),
  };
}

function copy(response: ListenerResponse) {
  return { statusCode: response.statusCode, headers: { ...response.headers } };
}
