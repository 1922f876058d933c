/**
 * Example events: a test that names an event type sends one (contract 10.11). An example has the form of a real event, so that a
 * listener can be tried with it, and says of itself that it is a test. It is about a profile that cannot exist.
 */
import type { EventType } from './event.ts';
import { eventsClaim } from './security-event-token.ts';

const NAME = 'example';
/** The nil UUID (RFC 9562, 5.9). */
const NOBODY = '00000000-0000-0000-0000-000000000000';

/**
 * The `events` claim of an example.
 * @param captureDomain for the default of `globalSub`
 */
export function exampleClaim(
  eventId: string,
  type: EventType,
  captureDomain: string,
): Record<string, object> {
  const example = {
    customerId: NOBODY,
    id: eventId,
    type,
    acceptedAt: 0,
    occurredAt: 0,
    captureApplicationId: NAME,
    captureClientId: NAME,
    entityType: 'user',
    sub: NOBODY,
    ...(type === 'entityUpdated' ? { attributes: ['givenName', 'primaryAddress.city'] } : {}),
  };
  return { [type]: { ...eventsClaim(example, captureDomain)[type], test: true } };
}
