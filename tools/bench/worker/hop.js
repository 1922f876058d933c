/**
 * A bare queue hop: this Worker puts the posted body on a queue, and its consumer posts the body on. No delivery through a
 * queue can be faster on this machine.
 *
 *     POST /?to=URL   answers when the body is queued
 */
export default {
  async fetch(request, env) {
    const to = new URL(request.url).searchParams.get('to');
    await env.HOP.send({ to, body: await request.text() });
    return new Response('queued');
  },
  async queue(batch) {
    await Promise.all(
      batch.messages.map(async ({ body: { to, body } }) => {
        const response = await fetch(to, { method: 'POST', body });
        await response.body?.cancel();
      }),
    );
  },
};
