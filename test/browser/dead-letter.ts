/** Makes a dead letter as one comes to be: by a producer that queues an event with a fault. */
import { v7 } from 'uuid';
import { operator, until, world } from './world.ts';

/** @param type of the event, which the service does not know @returns the id of the dead letter */
export async function createDeadLetter(customerId: string, type: string): Promise<string> {
  const id = v7();
  const event = {
    customerId,
    id,
    type,
    captureApplicationId: 'application',
    captureClientId: 'client',
    entityType: 'user',
    sub: 'somebody',
  };
  const answer = await fetch(world().producerUrl, { method: 'POST', body: JSON.stringify(event) });
  if (answer.status !== 202) throw new Error(`the producer answers ${answer.status}`);
  let found: string | undefined;
  await until(async () => {
    const { deadLetters } = (await operator().call('listDeadLetters'))._embedded;
    for (const letter of deadLetters) {
      const { body } = await operator().call('getDeadLetter', { id: letter.id });
      if (JSON.stringify(body).includes(id)) found = letter.id;
    }
    return found !== undefined;
  }, 'the dead letter');
  return found ?? '';
}
