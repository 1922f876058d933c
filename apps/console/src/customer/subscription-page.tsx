/** The frame of all screens of one subscription. */
import type { ComponentChildren, JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { type SubscriptionFigures, wasTried } from '../lib/figures.ts';
import { counted } from '../lib/format.ts';
import { type Loaded, useLoad } from '../state/load.ts';
import { customer } from '../state/session.ts';
import { Button, Failure, Id, LinkButton, Loading, Notice, Page, Tabs, Time } from '../ui/parts.tsx';
import { Missing } from './missing.tsx';
import { TestDialog } from './test-dialog.tsx';
import { HealthBadge, hostOf, type Subscription } from './words.tsx';

const REFRESH_MS = 10_000;

export type Tab = 'about' | 'events' | 'redeliveries' | 'exports';

const TABS: readonly (readonly [Tab, string, readonly string[]])[] = [
  ['about', 'About', []],
  ['events', 'Events', ['events']],
  ['redeliveries', 'Send again', ['redeliveries']],
  ['exports', 'Exports', ['exports']],
];

export function useSubscription(sid: string): Loaded<Subscription> {
  const { api, at } = customer();
  return useLoad((signal) => api.json<Subscription>(at('subscriptions', sid), { signal }), [sid], REFRESH_MS);
}

export function SubscriptionPage(props: {
  readonly sid: string;
  readonly tab: Tab;
  readonly children: (loaded: {
    readonly subscription: Subscription;
    reload(): void;
    /** Opens the dialog that sends a test. */
    test(): void;
  }) => ComponentChildren;
}): JSX.Element {
  const { sid, tab, children } = props;
  const { api, at, may } = customer();
  const tried = useRef(false);
  const loaded = useLoad(
    async (signal) => {
      const subscription = await api.json<Subscription>(at('subscriptions', sid), { signal });
      // Once tried, always tried: the figures are asked until then.
      if (!tried.current && subscription.health.state === 'healthy') {
        const path = at('subscriptions', sid, 'stats');
        const figures = await api
          .json<SubscriptionFigures>(path, { query: { hours: 168 }, signal })
          .catch(() => undefined);
        tried.current = figures === undefined || wasTried(figures);
      }
      return subscription;
    },
    [sid],
    REFRESH_MS,
  );
  const { data, error, reload } = loaded;
  const [testing, setTesting] = useState(false);
  const trail = [{ label: 'Subscriptions', to: ['subscriptions'] }];
  if (data === undefined)
    return (
      <Page title="Subscription" trail={trail}>
        <Missing error={error} retry={reload} />
        {error === undefined && <Loading what="the subscription" />}
      </Page>
    );
  return (
    <Page
      title={data.title}
      trail={trail}
      lead={
        <div class="facts-line">
          <HealthBadge state={data.health.state} enabled={data.enabled} tried={tried.current} />
          <span class="breaks">{hostOf(data.endpoint)}</span>
          <Id id={data.id} what="subscription id" />
        </div>
      }
      actions={
        <>
          {may('PATCH', 'subscriptions', sid) && (
            <LinkButton to={['subscriptions', sid, 'edit']}>Edit</LinkButton>
          )}
          {data.enabled && may('POST', 'subscriptions', sid, 'test') && (
            <Button kind="primary" onClick={() => setTesting(true)}>
              Send a test
            </Button>
          )}
        </>
      }
    >
      <Failure error={error} retry={reload} what="The subscription could not be read again." />
      <Trouble subscription={data} />
      <Tabs
        label="Parts of the subscription"
        tabs={TABS.map(([name, label, rest]) => ({
          label,
          to: ['subscriptions', sid, ...rest],
          current: name === tab,
        }))}
      />
      {children({ subscription: data, reload, test: () => setTesting(true) })}
      {testing && (
        <TestDialog
          subscription={data}
          onClose={() => {
            setTesting(false);
            reload();
          }}
        />
      )}
    </Page>
  );
}

/** Why events wait, and what ends the waiting. */
function Trouble({ subscription }: { readonly subscription: Subscription }): JSX.Element | null {
  const { enabled, health } = subscription;
  const waiting = health.waiting ?? 0;
  const since = health.since !== undefined && (
    <>
      {' '}
      since <Time at={health.since} />
    </>
  );
  if (!enabled)
    return (
      <Notice tone="warn">
        <p>
          <strong>Disabled.</strong> Events that arrive are stored as failed and are not sent. Enable the
          subscription, then send them again.
        </p>
      </Notice>
    );
  switch (health.state) {
    case 'healthy':
      return null;
    case 'slow':
      return (
        <Notice tone="warn">
          <p>
            <strong>Slow{since}.</strong> The endpoint took more than 2 seconds, or did not answer in time.
            Events still go out, fewer at the same time.
          </p>
        </Notice>
      );
    case 'unverified':
      return (
        <Notice tone="warn">
          <p>
            <strong>Not verified{since}.</strong> The endpoint must answer a test with a 2xx before it gets
            events. {waiting > 0 && `${counted(waiting, 'event waits', 'events wait')}. `}
            Send a test when your listener is ready.
          </p>
        </Notice>
      );
    case 'failing':
      return (
        <Notice tone="bad-quiet">
          <p>
            <strong>Failing{since}.</strong> Five attempts in a row failed, so new events are held.{' '}
            {waiting > 0
              ? `${counted(waiting, 'event waits', 'events wait')}. One of them goes out now and then, at most 5 minutes after the last attempt, to find out whether the endpoint answers. Its success sends the others.`
              : 'None waits now.'}
          </p>
          <p>
            When your listener works again, send a test: its success ends the holding at once. Events that
            were given up before are not sent by it. Send them again yourself.
          </p>
        </Notice>
      );
  }
}
