/** The operator door, `/operator`: for the holder of `OPERATOR_TOKEN` (contract 10.2). */
import { authorizeOperator } from '../kit/auth.ts';
import { type Door, newDoor } from '../kit/door.ts';
import { addAudit } from './audit.ts';
import { addClients } from './clients.ts';
import { addConsoleLinks } from './console-links.ts';
import { addCustomers } from './customers.ts';
import { addDeadLetters } from './dead-letters.ts';
import { addEndpoints } from './endpoints.ts';
import { addFigures } from './figures.ts';
import { addNotices } from './notices.ts';
import { addSigningKeys } from './signing-keys.ts';
import { addSubscriptionsOfCustomers } from './subscriptions.ts';

export function operatorDoor(): Door {
  const door = newDoor();
  door.use(authorizeOperator);
  addCustomers(door);
  addClients(door);
  addConsoleLinks(door);
  addDeadLetters(door);
  addSigningKeys(door);
  addSubscriptionsOfCustomers(door);
  addAudit(door);
  addFigures(door);
  addEndpoints(door);
  addNotices(door);
  return door;
}
