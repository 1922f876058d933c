/** What the examples of the OpenAPI document have in common: one customer, and one of each thing it has. */
const CUSTOMER = 'b18fc81d-457e-4a40-ac87-2b78bd946fa2';
const SUBSCRIPTION = '7d0e3f52-43c1-4c35-8f41-2a4c5a1d9b10';
const EVENT = '01890a5d-ac96-774b-bcce-b302099a8057';
const subscriptionPath = `/${CUSTOMER}/webhooks/subscriptions/${SUBSCRIPTION}`;

export const EXAMPLE = {
  customer: CUSTOMER,
  subscription: SUBSCRIPTION,
  event: EVENT,
  /** Of an export, a bulk redelivery or a dead letter. */
  job: '3f0c2a8e-5d7b-4c1e-9a44-0b7f6f1f2c11',
  request: 'c2b7a3c4-1d52-4b0e-8f0a-6f1f2f9a7d10',
  profile: '726087ec-35df-4041-aec8-c11ecc208efa',
  notification: 'e67f33f4-28ae-5abe-a5a4-98e9593774bb',
  application: 'tep2dcqy4fwurwtpkaxg76twgf',
  applicationClient: 'zfccfzzcf626t449wu5umbt6zhek2det',
  globalSub:
    'capture-v1://us.janraincapture.com/tep2dcqy4fwurwtpkaxg76twgf/user/726087ec-35df-4041-aec8-c11ecc208efa',
  endpoint: 'https://listener.example.com/hooks',
  client: 'iwh_client_6luf86lybzn47iej5a61alhrsluowbya',
  key: '0f9d8c7b6a5948372615040302010f0e0d0c0b0a',
  early: '2026-01-31T12:00:00.000Z',
  late: '2026-01-31T12:00:05.000Z',
  subscriptionPath,
  eventPath: `${subscriptionPath}/events/${EVENT}`,
  /** A compact security event token: its parts are short here. */
  token: 'eyJhbGciOiJSUzI1NiIsInR5cCI6InNlY2V2ZW50K2p3dCJ9.eyJldmVudHMiOnt9fQ.c2lnbmF0dXJl',
};
