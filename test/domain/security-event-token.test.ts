import { describe, expect, it } from 'vitest';
import type { IdentityEvent } from '../../src/domain/event.ts';
import { notificationId } from '../../src/domain/ids.ts';
import { eventsClaim, setHeader, setPayload } from '../../src/domain/security-event-token.ts';
import { SIGNING_ALGORITHMS } from '../../src/domain/signing-algorithm.ts';

const CAPTURE_DOMAIN = 'eu.janraincapture.com';
const SUBSCRIPTION_ID = '3d9a1f6e-52c4-4b0a-9d57-6f2e8c1b7a90';

/** A notification of the documented service (contract 9). */
const VECTOR =
  '{"aud":["https://webhook.site/a39c8b84-a4c5-4eb2-858a-28c4e1139914"],"events":{"entityCreated":{"captureApplicationId":"tep2dcqy4fwurwtpkaxg76twgf","captureClientId":"zfccfzzcf626t449wu5umbt6zhek2det","entityType":"user","globalSub":"capture-v1://eu.janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/726087ec-35df-4041-aec8-c11ecc208efa","id":"02e950dc-7306-4e5a-9e4b-b9cd5629d76b","sub":"726087ec-35df-4041-aec8-c11ecc208efa"}},"iat":1632416326,"iss":"https://v1.api.eu.janrain.com/b18fc81d-457e-4a40-ac87-2b78bd946fa2/webhooks","jti":"e67f33f4-28ae-4abe-a5a4-98e9593774bb","toe":1632416326}';

const TEST_VECTOR =
  '{"aud":["https://webhook.site/eeb46d8c-9fc0-42e4-b2d1-c0dc917031b1"],"events":{"test":{"id":"e6e15d40-54e8-440f-bb66-2c490e60a7eb"}},"iat":1628785553,"iss":"https://v1.api.us.janrain.com/e0a70b4f-1eef-4856-bcdb-f050fee66aae/webhooks","jti":"be0cad30-3f72-40c5-8f92-450ad0e06c36","toe":1628785553}';

const created: IdentityEvent = {
  // The members are in no particular order, so the order in the claim comes from the code.
  sub: '726087ec-35df-4041-aec8-c11ecc208efa',
  id: '02e950dc-7306-4e5a-9e4b-b9cd5629d76b',
  entityType: 'user',
  captureClientId: 'zfccfzzcf626t449wu5umbt6zhek2det',
  captureApplicationId: 'tep2dcqy4fwurwtpkaxg76twgf',
  type: 'entityCreated',
  customerId: 'b18fc81d-457e-4a40-ac87-2b78bd946fa2',
  acceptedAt: 1_632_416_326_999,
  occurredAt: 1_632_416_326_000,
};

const content = {
  customerId: created.customerId,
  subscriptionId: SUBSCRIPTION_ID,
  eventId: created.id,
  endpoint: 'https://webhook.site/a39c8b84-a4c5-4eb2-858a-28c4e1139914',
  acceptedAt: created.acceptedAt,
  occurredAt: created.occurredAt,
  events: eventsClaim(created, CAPTURE_DOMAIN),
};

describe('the payload of a SET', () => {
  it('the payload of a SET is the documented one byte for byte, except for its jti', () => {
    const payload = setPayload('https://v1.api.eu.janrain.com', content);
    const jti = notificationId(SUBSCRIPTION_ID, created.id);
    expect(payload).toBe(VECTOR.replace('e67f33f4-28ae-4abe-a5a4-98e9593774bb', jti));
  });

  it('the payload of a test notification is the documented one byte for byte, except for its jti', () => {
    const payload = setPayload('https://v1.api.us.janrain.com', {
      customerId: 'e0a70b4f-1eef-4856-bcdb-f050fee66aae',
      subscriptionId: SUBSCRIPTION_ID,
      eventId: 'e6e15d40-54e8-440f-bb66-2c490e60a7eb',
      endpoint: 'https://webhook.site/eeb46d8c-9fc0-42e4-b2d1-c0dc917031b1',
      acceptedAt: 1_628_785_553_001,
      occurredAt: 1_628_785_553_001,
      events: { test: { id: 'e6e15d40-54e8-440f-bb66-2c490e60a7eb' } },
    });
    const jti = notificationId(SUBSCRIPTION_ID, 'e6e15d40-54e8-440f-bb66-2c490e60a7eb');
    expect(payload).toBe(TEST_VECTOR.replace('be0cad30-3f72-40c5-8f92-450ad0e06c36', jti));
  });

  it('a SET has the time of acceptance in iat and of the event in toe, in whole seconds', () => {
    const payload = JSON.parse(
      setPayload('https://x.example', { ...content, occurredAt: 1_600_000_000_500 }),
    );
    expect(payload).toMatchObject({ iat: 1_632_416_326, toe: 1_600_000_000 });
  });

  it('the payload of a SET has no exp, no top-level sub and no txn', () => {
    const payload = JSON.parse(setPayload('https://x.example', content));
    expect(Object.keys(payload)).toEqual(['aud', 'events', 'iat', 'iss', 'jti', 'toe']);
  });
});

describe('the header of a SET', () => {
  it('the header of a SET has its members in the documented order', () => {
    const kid = '0123456789abcdef0123456789abcdef01234567';
    for (const algorithm of SIGNING_ALGORITHMS) {
      const header = setHeader('https://webhooks.example.com', created.customerId, { algorithm, kid });
      expect(JSON.stringify(header)).toBe(
        `{"alg":"${algorithm}","jku":"https://webhooks.example.com/b18fc81d-457e-4a40-ac87-2b78bd946fa2/login/jwk","kid":"${kid}","typ":"secevent+jwt"}`,
      );
    }
  });
});

describe('the events claim', () => {
  it('the entityUpdated claim has the names of changed attributes, and its keys are sorted', () => {
    const attributes = ['givenName', 'primaryAddress.city', 'age'];
    const claim = eventsClaim({ ...created, type: 'entityUpdated', attributes }, CAPTURE_DOMAIN);
    expect(Object.keys(claim)).toEqual(['entityUpdated']);
    expect(Object.keys(claim['entityUpdated'] ?? {})).toEqual([
      'attributes',
      'captureApplicationId',
      'captureClientId',
      'entityType',
      'globalSub',
      'id',
      'sub',
    ]);
    expect(claim['entityUpdated']).toMatchObject({ attributes });
  });

  it.each(['entityCreated', 'entityDeleted'] as const)('the %s claim has no attributes', (type) => {
    expect(eventsClaim({ ...created, type }, CAPTURE_DOMAIN)[type]).not.toHaveProperty('attributes');
  });

  it('the events claim has the published globalSub, or else one made from the capture domain', () => {
    const published = { ...created, globalSub: 'capture-v1://elsewhere/x' };
    expect(eventsClaim(published, CAPTURE_DOMAIN)).toMatchObject({
      entityCreated: { globalSub: 'capture-v1://elsewhere/x' },
    });
    expect(eventsClaim(created, 'us.janraincapture.com')).toMatchObject({
      entityCreated: {
        globalSub:
          'capture-v1://us.janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/726087ec-35df-4041-aec8-c11ecc208efa',
      },
    });
  });
});
