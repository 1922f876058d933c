/** Makes client ids, secrets, codes and cookies, and compares secrets in a time that does not show how much of one is right. */

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
  return await digestOf([customerId, clientId, secret]);
}

/** SHA-256 of a code or a cookie of the console, as 64 hex digits. Both are long and random: no stretching. */
export async function hashConsoleSecret(what: 'code' | 'cookie', secret: string): Promise<string> {
  return await digestOf(['console', what, secret]);
}

/**
 * What a session of the operator keeps of the `OPERATOR_TOKEN` that opened it. It is keyed, because people choose that token: nobody
 * tries tokens against a copy of the database.
 */
export async function operatorMark(key: Uint8Array, operatorToken: string): Promise<string> {
  const usage = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key, usage, false, ['sign']);
  const text = new TextEncoder().encode(JSON.stringify(['operator of the console', operatorToken]));
  return hexOf(await crypto.subtle.sign('HMAC', imported, text));
}

async function digestOf(parts: readonly string[]): Promise<string> {
  const bytes = new TextEncoder().encode(JSON.stringify(parts));
  return hexOf(await crypto.subtle.digest('SHA-256', bytes));
}

function hexOf(bytes: ArrayBuffer): string {
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
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
