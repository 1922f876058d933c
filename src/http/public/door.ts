/** The public door: no guard. Clients get their access token here, and listeners the public keys. */
import { type Door, newDoor } from '../kit/door.ts';
import { addHealth } from './healthz.ts';
import { addJwk } from './jwk.ts';
import { addNotifications } from './notifications.ts';
import { addOpenApi } from './openapi.ts';
import { addSecurityTxt } from './security-txt.ts';
import { addTokens } from './tokens.ts';

/** @param api all doors of the API, for its OpenAPI document */
export function publicDoor(api: Door): Door {
  const door = newDoor();
  addHealth(door);
  addOpenApi(door, api);
  addSecurityTxt(door);
  addTokens(door);
  addJwk(door);
  addNotifications(door);
  return door;
}
