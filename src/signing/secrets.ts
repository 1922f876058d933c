/** Client ids and secrets, and comparing secrets without telling by time how much of one was right. */

const ALPHANUMERICS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Random lower-case alphanumerics (5.17 bits each), without bias. */
export function randomAlphanumerics(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length * 2))) {
      // 252 is the largest multiple of 36 in a byte: what lies above would favour the first letters.
      if (byte < 252 && text.length < length) text += ALPHANUMERICS[byte % 36];
    }
  }
  return text;
}

/** SHA-256 of a client's secret, bound to the client, as 64 hex digits. Secrets are random or long: no stretching. */
export async function hashSecret(customerId: string, clientId: string, secret: string): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify([customerId, clientId, secret]));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether two texts are equal, in a time that depends on their lengths at most. */
export async function equalSecrets(a: string, b: string): Promise<boolean> {
  const encoder = new TextEncoder();
  const [left, right] = await Promise.all([
    crypto.subtle.digest('SHA-256', encoder.encode(a)),
    crypto.subtle.digest('SHA-256', encoder.encode(b)),
  ]);
  return crypto.subtle.timingSafeEqual(left, right);
}
