/**
 * Signs a text of the size of a SET, many times, and does nothing else.
 *
 *     POST /?count=N&algorithm=RS256|EdDSA   answers when all are signed
 */
const KEYS = {
  RS256: {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
  EdDSA: { name: 'Ed25519' },
};
const text = new TextEncoder().encode('x'.repeat(1050));
const pairs = {};

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const algorithm = searchParams.get('algorithm');
    pairs[algorithm] ??= await crypto.subtle.generateKey(KEYS[algorithm], false, ['sign', 'verify']);
    const { privateKey } = pairs[algorithm];
    let length = 0;
    for (let left = Number(searchParams.get('count')); left > 0; left--) {
      length = (await crypto.subtle.sign(privateKey.algorithm.name, privateKey, text)).byteLength;
    }
    return new Response(String(length));
  },
};
