/** One event: what happened to it and why, the token that was sent, and how to send it again. */
import type { components } from '@identity-webhooks/client';
import type { JWK } from 'jose';
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { curlOf } from '../lib/curl.ts';
import { counted, duration } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import type { HistoryEntry } from '../lib/timeline.ts';
import { decode, type Verdict } from '../lib/token.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { asCallError, customer } from '../state/session.ts';
import {
  Badge,
  Button,
  Code,
  Countdown,
  Facts,
  Failure,
  Id,
  Loading,
  Notice,
  Page,
  Panel,
  Time,
} from '../ui/parts.tsx';
import { Missing } from './missing.tsx';
import { useSubscription } from './subscription-page.tsx';
import { Headers, Timeline } from './timeline.tsx';
import { answerOf, isFinal, StateBadge, type Subscription, typeWord, type WebhookEvent } from './words.tsx';

const LIVE_MS = 3_000;
const RESTING_MS = 15_000;

interface Shown {
  readonly event: WebhookEvent;
  readonly history: readonly HistoryEntry[];
}

export function EventScreen({ sid, eid }: { readonly sid: string; readonly eid: string }): JSX.Element {
  const { api, at, may } = customer();
  const path = at('subscriptions', sid, 'events', eid);
  const subscription = useSubscription(sid);
  const { data, error, reload } = useLoad<Shown>(
    async (signal) => {
      const [event, history] = await Promise.all([
        api.json<WebhookEvent>(path, { signal }),
        api.json<components['schemas']['HistoryList']>(`${path}/history`, { signal }),
      ]);
      return { event, history: history._embedded.history };
    },
    [path],
    ({ event }) => (isFinal(event.state) ? RESTING_MS : LIVE_MS),
  );
  const redeliver = useAction(async () => {
    try {
      await api.json(`${path}/redeliver`, { method: 'POST' });
      notify('The event is sent again');
    } catch (failure) {
      // Somebody else was first, or another tab: what the reader wants has happened.
      if (asCallError(failure).status !== 409) throw failure;
      const { state } = await api.json<WebhookEvent>(path);
      if (state === 'failure') throw failure;
      notify('It was already sent again');
    }
    reload();
  });
  const trail = [
    { label: 'Subscriptions', to: ['subscriptions'] },
    { label: subscription.data?.title ?? 'Subscription', to: ['subscriptions', sid] },
    { label: 'Events', to: ['subscriptions', sid, 'events'] },
  ];
  if (data === undefined)
    return (
      <Page title="Event" trail={trail}>
        <Missing error={error} retry={reload} />
        {error?.status === 404 && (
          <p>
            The event may have expired.{' '}
            <a href={hrefOf(['find'], { id: eid })}>Look for it in all subscriptions</a>
          </p>
        )}
        {error === undefined && <Loading what="the event" />}
      </Page>
    );
  const { event, history } = data;
  const decoded = decode(event.request.payload);
  const type = typeOf(decoded?.claims);
  const mayRedeliver =
    event.state === 'failure' && may('POST', 'subscriptions', sid, 'events', eid, 'redeliver');
  return (
    <Page
      title={titleOf(type)}
      trail={trail}
      lead={
        <div class="facts-line">
          <StateBadge state={event.state} />
          <span>
            accepted <Time at={event.createdAt} />
          </span>
          <Id id={event.id} what="event id" />
        </div>
      }
      actions={
        mayRedeliver && (
          <Button kind="primary" busy={redeliver.busy} onClick={redeliver.run}>
            Send again
          </Button>
        )
      }
    >
      <Failure error={error} retry={reload} what="The event could not be read again." />
      {mayRedeliver && <Failure error={redeliver.error} what="The event was not sent again." />}
      <Reason event={event} history={history} subscription={subscription.data} />
      <Panel title="What happened">
        <Timeline history={history} />
      </Panel>
      <TokenPanel event={event} claims={decoded?.claims} header={decoded?.header} />
      <Request event={event} />
      <p class="small">
        <a href={hrefOf(['find'], { id: eid })}>Where else this event went</a>
      </p>
    </Page>
  );
}

function titleOf(type: string | undefined): string {
  const word = type === undefined ? '' : typeWord(type);
  return `${word} event`.trimStart().replace(/^event$/, 'Event');
}

function typeOf(claims: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const events = claims?.['events'];
  return typeof events === 'object' && events !== null ? Object.keys(events)[0] : undefined;
}

/** The answer to the question that one comes with: why is it in this state, and what comes next? */
function Reason(props: {
  readonly event: WebhookEvent;
  readonly history: readonly HistoryEntry[];
  readonly subscription: Subscription | undefined;
}): JSX.Element | null {
  const { event, history, subscription } = props;
  const last = history.findLast(({ reason }) => reason !== undefined)?.reason ?? answerOf(event);
  switch (event.state) {
    case 'success': {
      const ended = history.at(-1);
      return (
        <Notice tone="ok">
          <p>
            <strong>Delivered</strong> with {answerOf(event) ?? 'success'}
            {ended?.durationMs !== undefined && `, answered in ${duration(ended.durationMs)}`}
            {event.attempts > 1 && `, at attempt ${event.attempts}`}.
          </p>
        </Notice>
      );
    }
    case 'failure':
      return (
        <Notice tone="bad-quiet">
          <p>
            <strong>Why it failed:</strong> <span class="reason">{last ?? 'no reason was given'}</span>
          </p>
          <p class="soft">
            {event.attempts === 0
              ? 'No request was made.'
              : `${counted(event.attempts, 'attempt was', 'attempts were')} made; the reason above is that of the last one.`}{' '}
            {event.request.payload === ''
              ? 'Its token was not kept, so it cannot be sent again.'
              : 'It can be sent again while it is kept: for a week, unless your operator has set another time.'}
          </p>
        </Notice>
      );
    case 'awaiting-retry':
      return (
        <Notice tone="warn">
          <p>
            <strong>The last attempt had no success:</strong> <span class="reason">{last}</span>
          </p>
          {event.nextAttemptAt !== undefined && (
            <p>
              The next attempt follows <Countdown until={event.nextAttemptAt} /> (
              <Time at={event.nextAttemptAt} />
              ).
            </p>
          )}
        </Notice>
      );
    case 'executing':
      return <Notice>An attempt is under way. The listener has not answered yet.</Notice>;
    case 'awaiting-executing':
      return <Held subscription={subscription} />;
  }
}

function Held({ subscription }: { readonly subscription: Subscription | undefined }): JSX.Element {
  if (subscription?.health.state === 'failing')
    return (
      <Notice tone="warn">
        <p>
          <strong>Held, because the endpoint is failing</strong>
          {subscription.health.since !== undefined && (
            <>
              {' '}
              since <Time at={subscription.health.since} />
            </>
          )}
          . {counted(subscription.health.waiting ?? 1, 'event waits', 'events wait')}, and the oldest goes
          first.
        </p>
        <NextProbe sid={subscription.id} />
        <p>
          When the listener works again, <a href={hrefOf(['subscriptions', subscription.id])}>send a test</a>:
          its success ends the waiting at once.
        </p>
      </Notice>
    );
  if (subscription?.health.state === 'unverified')
    return (
      <Notice tone="warn">
        <p>
          <strong>Held, because the endpoint is not verified.</strong> It goes out when the endpoint has
          answered a test with a 2xx. <a href={hrefOf(['subscriptions', subscription.id])}>Send a test</a>
        </p>
      </Notice>
    );
  return <Notice>It waits for its turn. Its first attempt of this run has not begun.</Notice>;
}

/** While an endpoint is failing, retries of other events are probes too, and the service says when they are due. */
function NextProbe({ sid }: { readonly sid: string }): JSX.Element {
  const { api, at } = customer();
  const { data } = useLoad(
    async (signal) => {
      const query = { state: 'awaiting-retry', fields: 'summary', limit: 100 };
      const list = await api.json<components['schemas']['EventList']>(at('subscriptions', sid, 'events'), {
        query,
        signal,
      });
      return list._embedded.events.flatMap(({ nextAttemptAt }) => nextAttemptAt ?? []).sort()[0] ?? '';
    },
    [sid],
    LIVE_MS * 2,
  );
  const limit =
    'One event goes out at most 5 minutes after the last attempt, to find out whether it answers.';
  if (!data || Date.parse(data) - Date.now() > 300_000) return <p>{limit}</p>;
  return (
    <p>
      The next known attempt at this endpoint is a retry <Countdown until={data} />. {limit}
    </p>
  );
}

function TokenPanel(props: {
  readonly event: WebhookEvent;
  readonly header: Readonly<Record<string, unknown>> | undefined;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
}): JSX.Element {
  const { event, header, claims } = props;
  if (event.request.payload === '')
    return (
      <Panel title="Token">
        <p>The token of this event found no room in the event store, so it was not kept.</p>
      </Panel>
    );
  if (header === undefined || claims === undefined)
    return (
      <Panel title="Token">
        <p>The token cannot be decoded.</p>
        <Code text={event.request.payload} what="token" wrap />
      </Panel>
    );
  return (
    <Panel title="Token" aside={<Verified event={event} />}>
      <p class="soft">The security event token (SET) as it is sent, decoded.</p>
      <div class="columns">
        <div>
          <h3>Claims</h3>
          <Code text={JSON.stringify(claims, null, 2)} what="claims" />
        </div>
        <div>
          <h3>Header</h3>
          <Code text={JSON.stringify(header, null, 2)} what="header of the token" />
          <h3>Meaning</h3>
          <Facts
            items={[
              ['Happened', seconds(claims['toe'])],
              ['Accepted', seconds(claims['iat'])],
              [
                'Drop repeats by',
                typeof claims['jti'] === 'string' && (
                  <Id key="jti" id={claims['jti']} what="jti of the token" />
                ),
              ],
              ['Checks', <Checks key="checks" event={event} claims={claims} />],
            ]}
          />
        </div>
      </div>
      <details>
        <summary>The token, byte for byte</summary>
        <Code text={event.request.payload} what="token" wrap />
      </details>
    </Panel>
  );
}

function seconds(value: unknown): ComponentChildren {
  return typeof value === 'number' ? <Time at={value * 1_000} /> : '–';
}

function Checks(props: {
  readonly event: WebhookEvent;
  readonly claims: Readonly<Record<string, unknown>>;
}): JSX.Element {
  const { aud, iss } = props.claims;
  const isForEndpoint = Array.isArray(aud) && aud.includes(props.event.request.endpoint);
  const isOfCustomer = typeof iss === 'string' && iss.endsWith(`/${customer().id}/webhooks`);
  return (
    <ul class="checks">
      <li>
        <Badge tone={isForEndpoint ? 'ok' : 'bad'}>
          aud {isForEndpoint ? 'names' : 'does not name'} the endpoint
        </Badge>
      </li>
      <li>
        <Badge tone={isOfCustomer ? 'ok' : 'bad'}>
          iss {isOfCustomer ? 'names' : 'does not name'} this customer
        </Badge>
      </li>
    </ul>
  );
}

function Verified({ event }: { readonly event: WebhookEvent }): JSX.Element | null {
  const { id } = customer();
  const token = event.request.payload;
  const { data, error, reload } = useLoad<Verdict>(
    async (signal) => {
      // The verifier is a file of its own: only this panel needs it.
      const [answer, { verify }] = await Promise.all([
        fetch(`/${id}/login/jwk`, { signal, credentials: 'omit' }),
        import('../lib/verify.ts'),
      ]);
      if (!answer.ok) throw new Error('no keys');
      const { keys } = (await answer.json()) as { readonly keys: readonly JWK[] };
      return await verify(token, keys);
    },
    [id, token],
  );
  if (error !== undefined)
    return (
      <Button kind="quiet" icon="run" onClick={reload}>
        The keys could not be read. Try again
      </Button>
    );
  if (data === undefined) return <span class="soft">Verifying…</span>;
  switch (data.kind) {
    case 'valid':
      return <Badge tone="ok">Signature verified in this browser</Badge>;
    case 'invalid':
      return <Badge tone="bad">The signature is wrong</Badge>;
    case 'no key':
      return <Badge tone="off">Its key is no longer published</Badge>;
    case 'no signature':
      return <Badge tone="off">Shown without its signature</Badge>;
    case 'unknown algorithm':
      return <Badge tone="off">Not verified: this browser does not know {data.algorithm}</Badge>;
    case 'no WebCrypto':
      return <Badge tone="off">Not verified: a browser can do that only over https or at localhost</Badge>;
  }
}

function Request({ event }: { readonly event: WebhookEvent }): JSX.Element {
  const [showing, setShowing] = useState(false);
  const { request, response } = event;
  return (
    <Panel title="Request and answer">
      <div class="columns">
        <div>
          <h3>Request</h3>
          <p class="breaks">
            <code>POST {request.endpoint}</code>
          </p>
          <Headers headers={request.headers} />
        </div>
        <div>
          <h3>Last answer</h3>
          {response === undefined ? (
            <p>{event.error?.message ?? 'No answer yet.'}</p>
          ) : (
            <>
              <p>
                <code>HTTP {response.statusCode}</code>
              </p>
              <Headers headers={response.headers} />
            </>
          )}
        </div>
      </div>
      {request.payload !== '' && (
        <>
          <Button kind="quiet" expanded={showing} onClick={() => setShowing(!showing)}>
            {showing ? 'Hide the curl command' : 'Show a curl command that repeats the request'}
          </Button>
          {showing && <Code text={curlOf(request)} what="curl command" />}
        </>
      )}
    </Panel>
  );
}
