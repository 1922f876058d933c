/**
 * The size of a value once it is JSON, found without making the JSON.
 *
 * A producer may send a message in a form other than JSON, or call by RPC. A few bytes can then say "an array of four thousand million
 * members", or name one large object a thousand times. To read such a value would end the invocation, and all messages of the
 * batch with it. So each consumer, and publishing, asks here before it looks at what it got.
 */

/** Bytes that the platform takes in one message, 128 KB: no message that came as JSON is larger. */
const MESSAGE_MAX_SIZE = 131_072;

/** Whether the JSON of a body is so large that the body did not come to a queue as JSON. */
export function isTooLarge(body: unknown): boolean {
  return jsonSizeExceeds(body, MESSAGE_MAX_SIZE);
}

/**
 * Whether the JSON of a value may have more characters than `max`. Members count with what is in them, each time they are named. It
 * looks at no more members than JSON of that size can have.
 */
export function jsonSizeExceeds(whole: unknown, max: number): boolean {
  const open: unknown[] = [whole];
  let room = max;
  while (open.length > 0) {
    const value = open.pop();
    room -= 1;
    if (typeof value === 'string') room -= value.length;
    else if (Array.isArray(value)) {
      if (value.length > room) return true;
      for (const member of value) {
        // A comma, and a hole is `null`.
        room -= member === undefined ? 4 : 1;
        open.push(member);
      }
    } else if (ArrayBuffer.isView(value)) room -= value.byteLength;
    else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value)) {
        room -= name.length;
        open.push(member);
      }
    }
    if (room < open.length) return true;
  }
  return false;
}

/**
 * Whether arrays and objects are nested deeper than this; stops as soon as it knows. Like `jsonSizeExceeds`, it passes over members
 * of an array that have a name: they are not in its JSON, and a few may name one another in more ways than anybody can count.
 */
export function depthExceeds(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const members: unknown[] = Array.isArray(value) ? value : Object.values(value);
  return depth === 0 || members.some((inner) => depthExceeds(inner, depth - 1));
}
