/** Reads packed messages. */
import type { IdentityEvent } from '../../src/domain/event.ts';
import { unpackEvent } from '../../src/outbound/queues.ts';

interface Packed {
  readonly customerId: string;
  readonly acceptedAt: number;
  readonly events: readonly unknown[];
}

/** The events of a packed message that the service made. */
export function unpackEvents(message: Packed): IdentityEvent[] {
  return message.events.map((member) => unpackEvent(member, message) as IdentityEvent);
}
