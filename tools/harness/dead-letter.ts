/** Makes a dead letter in the way that one comes to be: a producer queues an event with a fault. */
import type { OperatorClient } from '@identity-webhooks/client';
import { v7 } from 'uuid';
import { pause } from './processes.ts';

/** A safety net, ms. */
const GIVE_UP_MS = 240_000;

/**
 * @param producerUrl of the Worker `examples/producer`
 * @param type of the event, one that the service does not know
 * @returns the id of the dead letter
 */
export async function makeDeadLetter(
  operator: OperatorClient,
  producerUrl: string,
  customerId: string,
  type: string,
): Promise<string> {
  const id = v7();
  const more = { captureApplicationId: 'application', captureClientId: 'client', entityType: 'user' };
  const event = { customerId, id, type, ...more, sub: crypto.randomUUID() };
  const answer = await fetch(producerUrl, { method: 'POST', body: JSON.stringify(event) });
  if (answer.status !== 202) throw new Error(`the producer answers ${answer.status}`);
  for (const deadline = Date.now() + GIVE_UP_MS; Date.now() < deadline; await pause(100)) {
    for (const letter of (await operator.call('listDeadLetters'))._embedded.deadLetters) {
      const { body } = await operator.call('getDeadLetter', { id: letter.id });
      if (JSON.stringify(body).includes(id)) return letter.id;
    }
  }
  throw new Error('the dead letter does not come');
}
