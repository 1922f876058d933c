/** The public door: no guard. A token is asked for here, so nobody has one yet. */
import { type Door, newDoor } from '../kit/door.ts';
import { addHealth } from './healthz.ts';
import { addJwk } from './jwk.ts';
import { addOpenApi } from './openapi.ts';
import { addTokens } from './tokens.ts';

/** @param api all doors of the API, for its OpenAPI document */
export function publicDoor(api: Door): Door {
  const door = newDoor();
  addHealth(door);
  addOpenApi(door, api);
  addTokens(door);
  addJwk(door);
  return door;
}
