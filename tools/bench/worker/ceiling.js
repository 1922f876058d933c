/**
 * The ceiling: a Worker that does only the two things that every delivery needs. It signs a payload of a SET's size with
 * RS256 and posts it, six at a time.
 *
 *     POST /?count=N&to=URL   answers when all are posted
 */
const encoder = new TextEncoder();
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
const header = base64url(
  encoder.encode(JSON.stringify({ alg: 'RS256', kid: 'k'.repeat(40), jku: 'u'.repeat(90) })),
);

export default {
  async fetch(request) {
    const { searchParams } = new URL(request.url);
    const to = searchParams.get('to');
    let left = Number(searchParams.get('count'));
    const { privateKey } = await crypto.subtle.generateKey(
      {
        name: 'RSASSA-PKCS1-v1_5',
        modulusLength: 2048,
        publicExponent: new Uint8Array([1, 0, 1]),
        hash: 'SHA-256',
      },
      false,
      ['sign'],
    );
    const worker = async () => {
      while (left-- > 0) {
        const events = { entityCreated: { id: crypto.randomUUID(), filler: 'x'.repeat(350) } };
        const payload = base64url(
          encoder.encode(JSON.stringify({ iat: 1, jti: crypto.randomUUID(), events })),
        );
        const text = `${header}.${payload}`;
        const signature = await crypto.subtle.sign('RSASSA-PKCS1-v1_5', privateKey, encoder.encode(text));
        const response = await fetch(to, {
          method: 'POST',
          headers: { 'content-type': 'application/secevent+jwt' },
          body: `${text}.${base64url(new Uint8Array(signature))}`,
        });
        await response.body?.cancel();
      }
    };
    await Promise.all(Array.from({ length: 6 }, worker));
    return new Response('done');
  },
};
