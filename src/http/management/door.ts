/** The management door, `/{cid}/webhooks`: for clients with an access token of the customer (contract 2). */
import { authorizeClient } from '../kit/auth.ts';
import { type Door, newDoor } from '../kit/door.ts';
import { addDeliveries } from './deliveries.ts';
import { addEventList } from './event-list.ts';
import { addEvents } from './events.ts';
import { addExports } from './exports.ts';
import { addFigures } from './figures.ts';
import { addFilterTests } from './filter-tests.ts';
import { addPublish } from './publish.ts';
import { addRedeliveries } from './redeliveries.ts';
import { addSubscriptions } from './subscriptions.ts';
import { addSummary } from './summary.ts';
import { addTestNotification } from './test-notification.ts';

export function managementDoor(): Door {
  const door = newDoor();
  door.use(authorizeClient);
  addSubscriptions(door);
  addSummary(door);
  addFigures(door);
  addTestNotification(door);
  addEventList(door);
  addEvents(door);
  addDeliveries(door);
  addExports(door);
  addRedeliveries(door);
  addFilterTests(door);
  addPublish(door);
  return door;
}
