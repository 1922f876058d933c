/** Makes client ids and secrets, and compares secrets in a time that does not show how much of one is right. */

const ALPHANUMERICS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** Random lower-case alphanumerics (5.17 bits each), without bias. */
export function randomAlphanumerics(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(length * 2))) {
      // 252 is the largest multiple of 36 in a byte. Larger bytes would make the first letters more frequent.
      if (byte < 252 && text.length < length) text += ALPHANUMERICS[byte % 36];
    }
  }
  return text;
}

/** SHA-256 of a client's secret and the client's ids, as 64 hex digits. Secrets are long and random: no stretching. */
export async function hashSecret(customerId: string, clientId: string, secret: string): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify([customerId, clientId, secret]));
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Whether two texts are equal, in a time that depends on nothing but their lengths. */
export async function equalSecrets(a: string, b: string): Promise<boolean> {
  const encoder = new TextEncoder();
  const [left, right] = await Promise.all([
    crypto.subtle.digest('SHA-256', encoder.encode(a)),
    crypto.subtle.digest('SHA-256', encoder.encode(b)),
  ]);
  return crypto.subtle.timingSafeEqual(left, right);
}
