/**
 * A producer: a Worker of yours that knows when a profile changes. It takes a change over HTTP (stand-in for your own
 * code) and publishes it, by its queue binding or, with `?via=rpc`, by a call that says what is wrong at once.
 */
interface WebhookEvent {
  customerId: string;
  type: 'entityCreated' | 'entityUpdated' | 'entityDeleted';
  /** UUID version 7; bring one wherever you can repeat: the same id makes one event. */
  id?: string;
  occurredAt?: string;
  captureApplicationId: string;
  captureClientId: string;
  entityType: string;
  sub: string;
  attributes?: string[];
}

interface Env {
  WEBHOOK_EVENTS: Queue<WebhookEvent | WebhookEvent[]>;
  WEBHOOKS: { publish(events: WebhookEvent | WebhookEvent[]): Promise<string[]> };
}

export default {
  async fetch(request, env): Promise<Response> {
    const event = (await request.json()) as WebhookEvent;
    if (new URL(request.url).searchParams.get('via') === 'rpc') {
      return Response.json({ ids: await env.WEBHOOKS.publish(event) }, { status: 202 });
    }
    await env.WEBHOOK_EVENTS.send(event, { contentType: 'json' });
    return new Response(null, { status: 202 });
  },
} satisfies ExportedHandler<Env>;
