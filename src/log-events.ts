/**
 * Every line that the service can write to its log, by level and name. This list is data for people and for the type
 * checker: nothing reads it at run time. docs/operations.md shows it to the operator, and a test keeps the two equal.
 */

/** One kind of log line. Texts may hold Markdown. */
export interface LogEvent {
  /** What happened, and what the service does about it without help. */
  readonly meaning: string;
  /** What the operator does. */
  readonly action: string;
  /** Names of the line's fields, besides `level`, `event` and, at level `error`, `error`. */
  readonly fields: readonly string[];
}

const ATTEMPT_FIELDS = [
  'customerId',
  'subscriptionId',
  'eventId',
  'requestId',
  'attempt',
  'outcome',
  'statusCode',
  'reason',
  'durationMs',
  'sinceAcceptanceMs',
  'eventAgeMs',
  'state',
  'attempts',
  'nextAttemptAt',
] as const;

const AUDIT_FIELDS = [
  'action',
  'actor',
  'customerId',
  'clientId',
  'target',
  'address',
  'outcome',
  'count',
  'requestId',
  'callerRequestId',
] as const;

/**
 * - `error`: something failed that should not fail. The operator may have to act.
 * - `warn`: something failed that can always fail. The service handles it.
 * - `info`: what went well.
 */
export const LOG_EVENTS = {
  error: {
    'a store or queue is away': {
      meaning:
        'D1, a queue or an event store did not answer during a request. The caller got 503 and repeats the request. During a deploy an event store may run the earlier version for some minutes, and `error` says that the RPC receiver does not implement a call.',
      action:
        'Nothing about single lines. If they go on, `error` says which part is away: see [Outages](#outages).',
      fields: ['requestId', 'callerRequestId', 'method'],
    },
    'audit entries not written': {
      meaning:
        'D1 did not take `count` entries of the audit trail about access tokens, given and refused. If D1 is away, the isolate keeps up to 200 of them, those that name a customer first, and writes them with its next ones. Each kind of them has its line `audit`. Changes are not among them: a change is written together with its entry, or not at all.',
      action: 'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away).',
      fields: ['count'],
    },
    'batch refused: configuration is wrong': {
      meaning:
        'A consumer could not start, because a variable or a secret is wrong. It returned all messages of the batch to their queue, and each comes back after a wait that grows to 15 minutes.',
      action:
        'Act now: see [The configuration is wrong](#the-configuration-is-wrong). `error` names the variable. Messages survive about 23 hours of this.',
      fields: ['queue'],
    },
    'configuration is wrong': {
      meaning: 'A variable or a secret is wrong. Every request gets 500.',
      action:
        'Act now: see [The configuration is wrong](#the-configuration-is-wrong). `error` names the variable.',
      fields: ['requestId', 'callerRequestId', 'method'],
    },
    'duty failed': {
      meaning:
        "One duty of an event store's alarm failed: `duty` is `disabling`, `deadlines`, `backlog`, `dispatch`, `export`, `sweep`, `redelivery`, `sort`, `merge` or `count`. The other duties ran. The alarm calls the failed one again after a pause of a second, which doubles with each further failure up to 15 minutes and ends when the duty succeeds. When the queue refuses a dispatch, its deliveries are sent again after the pause; a test or a redelivery that somebody asks for ends it. An export that failed is not tried again; its job shows `failed`, and its events can be exported by another.",
      action:
        'Nothing about single lines. If one store goes on for 10 minutes, read `error`: a queue that is away comes back by itself, `SQLITE_FULL` means [a full event store](#an-event-store-is-full), a variable means a wrong configuration. Anything else is a fault in the code: roll back if it began with a deploy.',
      fields: ['customerId', 'subscriptionId', 'duty'],
    },
    'endpoint not asked for its proof': {
      meaning:
        'The test notification that verifies a new endpoint was not stored, because a part of the service was away. The subscription was created or changed all the same. Its events wait until a test notification succeeds.',
      action:
        'Nothing: the daily visit of the event store sends the test notification, and the customer can send one at once. If the lines go on, see [Outages](#outages).',
      fields: ['subscriptionId'],
    },
    'event store not asked for health': {
      meaning:
        'An event store did not answer when its subscription was read. The caller got the subscription with the state of health that D1 has, without `since` and `waiting`.',
      action: 'Nothing about single lines. If they go on, see [Outages](#outages).',
      fields: ['subscriptionId'],
    },
    'event store not erased': {
      meaning:
        'The event store of a deleted subscription did not confirm its erasure. The cron tries again every 5 minutes until the store confirms it.',
      action:
        'If the same `subscriptionId` goes on for an hour, read `error`. Until the erasure is confirmed, the deliveries of the deleted subscription are still stored: tell the customer if you promised a date.',
      fields: ['subscriptionId'],
    },
    'change not passed to the event store': {
      meaning:
        'A subscription was changed in D1, and its event store did not answer. The store takes over the change with the next event or retry, or with the daily visit.',
      action:
        'Nothing about single lines. Until the store takes over the change, what waits in a subscription that was just disabled is not failed yet, and the health is still that of the old endpoint.',
      fields: ['subscriptionId'],
    },
    'event store not visited': {
      meaning:
        'The daily visit of the cron to an event store failed. The next visit is about 21 hours later. Only a store that has lost its alarm needs the visit.',
      action:
        'Nothing about single lines. If the same `subscriptionId` fails on two days, read `error`, and ask the customer whether events arrive: any event or call for that subscription arms the alarm, too.',
      fields: ['subscriptionId'],
    },
    'filter not evaluated': {
      meaning:
        'A filter that had been accepted could not be evaluated. The event was delivered as if it had passed: a listener can drop what it did not want, but cannot get back what it never received.',
      action:
        'This is a fault in the code. Keep the filter (`GET /{CID}/webhooks/subscriptions/{SID}` shows it) and report it.',
      fields: ['customerId', 'subscriptionId'],
    },
    'maintenance skipped': {
      meaning: 'The cron did not run, because a variable or a secret is wrong.',
      action:
        'Act now: see [The configuration is wrong](#the-configuration-is-wrong). `error` names the variable.',
      fields: [],
    },
    'maintenance task failed': {
      meaning:
        'One task of the cron failed, and the others ran. The next run, 5 minutes later, tries it again.',
      action:
        'If the same `task` fails for an hour, read `error`. All tasks at once mean that [D1 is away](#d1-is-away).',
      fields: ['task'],
    },
    'publish not queued': {
      meaning:
        'The queue did not take the events of a publish. The producer got 503 and must repeat the publish with the same ids.',
      action: 'See [A queue is away](#a-queue-is-away).',
      fields: ['customerId', 'requestId', 'callerRequestId'],
    },
    'request failed': {
      meaning: 'A request failed in a way that the code does not expect. The caller got 500.',
      action:
        'Read `error`. The caller has `requestId` in the header `X-Request-Id`. This is a fault in the code: roll back if it began with a deploy, and report it.',
      fields: ['requestId', 'callerRequestId', 'method'],
    },
    'schedule not readable': {
      meaning:
        'An event store could not find out when its alarm must ring next. It sets the alarm to 15 minutes later and looks again.',
      action:
        'If `error` names a variable, see [The configuration is wrong](#the-configuration-is-wrong). Anything else is a fault in the code: roll back if it began with a deploy.',
      fields: ['customerId', 'subscriptionId', 'duty'],
    },
    'signing key does not open': {
      meaning:
        'A private signing key was sealed under a key encryption key that the service does not have, or its row was altered. Nothing is sent with this key: events that need it go back to the queue, and become dead letters after about 23 hours.',
      action: 'Act now: see [A signing key does not open](#a-signing-key-does-not-open).',
      fields: ['customerId', 'kid'],
    },
    'signing keys not rotated': {
      meaning:
        "The cron could not rotate a customer's signing keys. The current key goes on signing, and the next run tries again.",
      action:
        'If it goes on for a day, read `error`. No token becomes unverifiable; the key only signs for longer than `KEY_ROTATION_DAYS`.',
      fields: ['customerId'],
    },
    'summary not counted': {
      meaning:
        'A large event store could not count its summary again. Until they are 23 hours old, the API shows the figures that were saved.',
      action: 'If one store goes on for an hour, read `error`. Deliveries are not affected.',
      fields: ['customerId', 'subscriptionId'],
    },
  },
  warn: {
    attempt: {
      meaning:
        'An attempt did not succeed. `outcome` and `reason` say why. `state` says what follows: `awaiting-retry` (at `nextAttemptAt`), `failure` (no further attempt), `success` (another attempt had succeeded), `awaiting-executing` or `executing` (it failed by our fault, with `outcome` = `our_fault`: the attempt costs nothing and is made again at `nextAttemptAt`), or `dropped` (the result was a repeat, or too late, and changed nothing).',
      action:
        'Nothing about single lines: the listener belongs to a customer. If listeners of many customers fail at once, look for the cause on our side: see [The resolver is away](#the-resolver-is-away) and [A listener is down](#a-listener-is-down).',
      fields: ATTEMPT_FIELDS,
    },
    audit: {
      meaning:
        'Somebody did not get an access token (`action` is `token-refused`), or brought a wrong operator token (`operator-refused`). `outcome` says why. A line with a `count` above 1 stands for the repeats of the line before it with the same fields. Without `address`, it stands for kinds that were too many to name.',
      action:
        'Nothing about single lines. Many of them mean that somebody guesses: see [Who did what](#who-did-what). Tell the owner of the `clientId`, or block the `address`.',
      fields: AUDIT_FIELDS,
    },
    'backlog not read': {
      meaning:
        'The metrics of a queue could not be read, or did not come within 2 seconds, while somebody asked for the figures of the service. They were answered without this queue.',
      action:
        'Nothing about single lines. If they go on for all queues, see [A queue is away](#a-queue-is-away).',
      fields: ['queue', 'reason'],
    },
    'batch returned to the queue': {
      meaning:
        'A consumer could not handle a batch, in most cases because D1 is away. All its messages come back after a wait that grows to 15 minutes.',
      action:
        'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away). Messages survive about 23 hours of this.',
      fields: ['queue', 'messages', 'error'],
    },
    'dead letter not stored': {
      meaning:
        'Events that can never be processed could not be written to D1. Their message comes back, and is read again.',
      action: 'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away).',
      fields: ['queue', 'error'],
    },
    'dead letters': {
      meaning:
        'Messages of a batch held `count` events that can never be processed, or one message was not delivered after 100 retries. The events are in the list of dead letters, or on their way to it. The first is of the message `messageId`, and is listed under `id` for the reason `reason`. Messages that say which request published them have a line for each request, `requestId`; all others share a line. The other events of the messages were delivered.',
      action:
        'Read the letters: see [Dead letters](#dead-letters). In most cases a producer sends something wrong: tell its owner.',
      fields: ['queue', 'messageId', 'requestId', 'count', 'id', 'reason'],
    },
    'dead letters dropped': {
      meaning:
        'The list of dead letters holds 100,000, and 10,000 of refused events of one customer. There were more, so the cron deleted `count` of them, for the reason `reason`. Those events are lost.',
      action:
        'Act now: see [Dead letters](#dead-letters). Replay or delete the list, and stop what fills it.',
      fields: ['count', 'reason'],
    },
    'dead letters returned to the queue': {
      meaning:
        'Dead letters could not be written to D1. Their messages come back after a wait that grows to 15 minutes.',
      action:
        'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away). While the consumer runs, letters are not lost: the consumer sends a letter that it could not store to the queue again, as a new message.',
      fields: ['messages', 'error'],
    },
    'delivery call failed': {
      meaning:
        'A step of the event path failed: `call` is `admit`, `release`, `sign`, `begin`, `settle`, `sendDispatches`, `noteHealth` or `noteStoreTenths`; of a subscription with several event stores also `adopt`, `joinRedelivery`, `joinExport` or `cancelExport`. After `admit` and `sign` the message comes back. After `begin` the message comes back, or the lease lapses and the store dispatches again. After `sendDispatches` the message comes back, or the store sends a first retry itself. After `release` such a retry is at most two minutes late, and an event that was given back waits for 50 s at most. After `settle` the attempt is made again, and the listener gets the same token twice. After `noteHealth` the list of subscriptions shows an old state of health for a while, and after `noteStoreTenths` the list of customers an old size. What one of several stores missed, it gets with a later call, or at the daily visit.',
      action:
        'Nothing about single lines: a deploy causes some. If they go on for `sign`, look for `signing key does not open` and `signing keys not read`. For the other calls see [Outages](#outages).',
      fields: ['call', 'customerId', 'subscriptionId', 'error'],
    },
    'event store fills up': {
      meaning:
        'The event store of a subscription is `percent` full: it holds `bytes` of the 10 GB that the platform gives to it. From 80 on, events that would only wait fail at once; from 95 on, no new event is taken (contract 10.9). The line comes once a day.',
      action: 'Act before it is at 80: see [An event store is full](#an-event-store-is-full).',
      fields: ['customerId', 'subscriptionId', 'bytes', 'percent'],
    },
    'event store not created': {
      meaning:
        'The event store of a new subscription did not answer to the call that creates it. The subscription exists all the same, and its first event, its first reader or the daily visit creates the store. Without `LOCATION_HINT` the store is then near that call, and stays there.',
      action: 'Nothing about single lines. If they go on, see [Outages](#outages).',
      fields: ['customerId', 'subscriptionId', 'error'],
    },
    'host limit not asked': {
      meaning:
        'The object that limits the requests to `host` for a customer could not be called. The consumer or the event store made at most one request there at once, in its stead.',
      action:
        'Nothing about single lines: an object restarts at each deploy. If they go on for 10 minutes, see [Outages](#outages).',
      fields: ['customerId', 'host', 'error'],
    },
    'dispatch given up': {
      meaning:
        'The platform moved a message of `webhook-deliveries` or `webhook-unhealthy` to the dead letters after its last retry. Nothing is lost: the event store dispatches its deliveries again. A message that the consumer itself gives up leaves no line.',
      action:
        'Find out what kept the consumer from handling messages for 23 hours: a wrong configuration, or a consumer that was cut short every time.',
      fields: ['queue', 'messageId'],
    },
    'dispatch without subscription': {
      meaning:
        'An event store dispatched deliveries of a subscription that D1 does not have. With `deleted` true the subscription was deleted, and its store is being erased. With `deleted` false D1 lags, or was restored to an earlier time; the deliveries wait in their store.',
      action:
        'Nothing with `deleted` true. With `deleted` false for more than 10 minutes see [Restoring D1](#restoring-d1).',
      fields: ['customerId', 'subscriptionId', 'deleted'],
    },
    'notice not sent': {
      meaning:
        'A notice for the operator about this subscription (contract 10.16) could not be stored, because a part of the service was away. The health of the endpoint was noted all the same.',
      action:
        'Nothing about single lines: the daily visit of the event store sends what is due. If they go on, see [Outages](#outages).',
      fields: ['customerId', 'subscriptionId', 'error'],
    },
    forbidden: {
      meaning:
        'A call got 403. `door` is `management`, `operator` or `console`, and `reason` is `missing`, `malformed` (also a token that the service did not sign), `expired`, `revoked` (its client, secret, customer or session is gone), `other customer`, `scope` or `wrong token`; at the door `console` also `wrong code`, `wrong credentials` and `cross-site` (a page of another origin called). `customerId` is that of the path, and `clientId` that of the token, which is `console:` and an id for a session. Like refusals of a minute share this line in each isolate, and `forbidden again` counts the others.',
      action:
        'Nothing about single lines. `wrong token` at the door `operator` that nobody of yours explains means that somebody tries tokens. For a customer who asks why its calls are refused, look for the `X-Request-Id` of an answer, or for its `customerId`.',
      fields: ['door', 'reason', 'customerId', 'clientId', 'method', 'requestId', 'callerRequestId'],
    },
    'forbidden again': {
      meaning:
        "`count` more calls of this kind got 403 in an earlier minute. The line comes with the isolate's next refusal, and is lost if the isolate ends before. After a hundred kinds in a minute, `reason` is `others`, and the line counts all further kinds together.",
      action:
        'Nothing about single lines. Many such lines mean that somebody calls with a bad token over and over: tell the owner of the `clientId`, or block the address.',
      fields: ['door', 'reason', 'customerId', 'clientId', 'method', 'count'],
    },
    'queue not known': {
      meaning:
        'A batch came from a queue whose name is not `NAME_PREFIX` and one of the five names of the service. Nothing is lost: each message is handled by what it is.',
      action:
        'Compare the names of the queues in the configuration of the deployment with `NAME_PREFIX`, and deploy. Until then a kind of work may delay another.',
      fields: ['queue', 'messages'],
    },
    'message not understood': {
      meaning:
        'A message of `webhook-deliveries` or `webhook-unhealthy` is a dispatch in a form that is not known. It was dropped, and its store dispatches the deliveries again.',
      action:
        'After a rollback, the message may be of the newer version: nothing. Else find out who sends to this queue: only event stores may.',
      fields: ['queue', 'messageId'],
    },
    'signatures not made again: no key': {
      meaning:
        'Deliveries were shown with an empty signature, because their signing key (`kids`) was deleted or does not open. The text of each token is complete.',
      action:
        'Nothing if the key was deleted on purpose (see [SECURITY.md](../SECURITY.md#replacing-secrets)). Else see [A signing key does not open](#a-signing-key-does-not-open).',
      fields: ['events', 'kids'],
    },
    'filters not read': {
      meaning:
        'D1 did not answer when a consumer read filters that its isolate had not compiled. The messages come back.',
      action: 'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away).',
      fields: ['queue', 'error'],
    },
    'slices not sent': {
      meaning:
        'A consumer could not send the rest of a message to `webhook-slices`. The message comes back as a whole; what is delivered already is not delivered again.',
      action: 'Nothing about single lines. If they go on, see [Outages](#outages).',
      fields: ['messageId', 'requestId', 'customerId', 'error'],
    },
    'signing keys not read': {
      meaning:
        'D1 did not answer when a consumer read private signing keys. Events whose key the isolate has opened before are sent; the others come back.',
      action: 'Nothing about single lines. If they go on, see [D1 is away](#d1-is-away).',
      fields: ['error'],
    },
  },
  info: {
    attempt: {
      meaning:
        'An attempt succeeded. This line is written with `LOG_LEVEL` = `debug` only; else `delivered` counts the successes.',
      action: 'Nothing. Set `LOG_LEVEL` to `info` when you have seen enough: every line is billed.',
      fields: ATTEMPT_FIELDS,
    },
    audit: {
      meaning:
        'Somebody did something that the audit trail keeps: `action` is the event, and the entry in D1 has the same `requestId`. Access tokens of one kind that an isolate gave within ten seconds share a line, and a second line has the `count` of the others.',
      action: 'Nothing. See [Who did what](#who-did-what).',
      fields: AUDIT_FIELDS,
    },
    deferred: {
      meaning:
        'A consumer stored `count` events of one subscription without an attempt: the endpoint is not healthy or has not answered for seconds, or the subscription is disabled. The event store decides when each is attempted.',
      action: 'Nothing.',
      fields: ['customerId', 'subscriptionId', 'count'],
    },
    delivered: {
      meaning:
        'Listeners of a customer accepted `count` tokens since the last such line of this isolate: of the subscription `subscriptionId`, or of as many as `subscriptions` says. `medianMs` and `maxMs` are the times that the answers took. An isolate writes one such line for a customer in a minute. What it counted after its last line is in no line if it ends, or has no more work.',
      action: 'Nothing. No such line while producers publish is an alarm: see [Alarms](#alarms).',
      fields: ['customerId', 'subscriptionId', 'subscriptions', 'count', 'medianMs', 'maxMs'],
    },
    'sent on': {
      meaning:
        'A consumer sent the rest of a message to `webhook-slices`: `events` events for `subscriptions` subscriptions, after `waitSeconds`. Its time or its connections were used up, or an endpoint has not answered for longer than usual. With `failures` above 0, work on it has failed that often. Rests without a wait and without a failure share a line in a minute, for each customer and isolate: `messages` is how many, and the other figures are those of the last one.',
      action:
        'Nothing. Many `messages` with `waitSeconds` 0 mean that listeners answer slowly, or that more is published than the consumers can send: see [Limits](#limits).',
      fields: [
        'customerId',
        'messageId',
        'requestId',
        'subscriptions',
        'events',
        'failures',
        'waitSeconds',
        'messages',
      ],
    },
  },
} as const satisfies Record<'error' | 'warn' | 'info', Readonly<Record<string, LogEvent>>>;
