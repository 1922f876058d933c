/** Paths of resources to which more than one route links. */
export interface SubscriptionNames {
  readonly customerId: string;
  readonly id: string;
}

export function subscriptionsHref(customerId: string): string {
  return `/${customerId}/webhooks/subscriptions`;
}

export function subscriptionHref({ customerId, id }: SubscriptionNames): string {
  return `${subscriptionsHref(customerId)}/${id}`;
}

/** The figures of a subscription. */
export function statsHref(subscription: SubscriptionNames): string {
  return `${subscriptionHref(subscription)}/stats`;
}

/** The figures of all subscriptions of a customer. */
export function figuresHref(customerId: string): string {
  return `/${customerId}/webhooks/stats`;
}

export function eventsHref(subscription: SubscriptionNames): string {
  return `${subscriptionHref(subscription)}/events`;
}

export function eventHref(subscription: SubscriptionNames, eventId: string): string {
  return `${eventsHref(subscription)}/${eventId}`;
}

/** Every delivery of an event, whatever the subscription. */
export function deliveriesHref(customerId: string, eventId: string): string {
  return `/${customerId}/webhooks/events/${eventId}`;
}

export const customersHref = '/operator/customers';

export function customerHref(customerId: string): string {
  return `${customersHref}/${customerId}`;
}

/** What the operator sees of a subscription: its event stores. */
export function operatorSubscriptionHref({ customerId, id }: SubscriptionNames): string {
  return `${customerHref(customerId)}/subscriptions/${id}`;
}

export function clientsHref(customerId: string): string {
  return `${customerHref(customerId)}/clients`;
}

export function jwksHref(customerId: string): string {
  return `/${customerId}/login/jwk`;
}
