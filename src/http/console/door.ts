/** The console door, `/console`: the page, and what the page calls with its cookie from its own origin (contract 10.15). */
import { refuseCrossSite } from '../kit/cross-site.ts';
import { type Door, newDoor } from '../kit/door.ts';
import { addPage } from './page.ts';
import { addSession } from './session.ts';
import { addSessionToken } from './token.ts';

export function consoleDoor(): Door {
  const door = newDoor();
  door.use(refuseCrossSite);
  addPage(door);
  addSession(door);
  addSessionToken(door);
  return door;
}
