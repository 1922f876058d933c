/**
 * A bare queue hop: what is posted goes to a queue, its consumer posts it on. The least that a delivery through a queue can
 * take here.
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
