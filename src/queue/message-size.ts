/**
 * The size of a message once it is JSON, found without making it.
 *
 * A producer may send its message in a form other than JSON. A few bytes of it can then say "an array of four thousand million
 * members", or name one large object a thousand times. To read such a message would end the invocation, and all messages of the
 * batch with it. So each consumer asks here before it looks at a body.
 */

/** Bytes that the platform takes in one message, 128 KB: no message that came as JSON is larger. */
const MESSAGE_MAX_SIZE = 131_072;

/**
 * Whether the JSON of a body is so large that the body did not come as JSON. Members count with what is in them, each time they
 * are named. It looks at no more members than a message of the highest size can have.
 */
export function isTooLarge(body: unknown): boolean {
  const open: unknown[] = [body];
  let room = MESSAGE_MAX_SIZE;
  while (open.length > 0) {
    const value = open.pop();
    room -= 1;
    if (typeof value === 'string') room -= value.length;
    else if (Array.isArray(value)) {
      if (value.length > room) return true;
      for (const member of value) open.push(member);
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
