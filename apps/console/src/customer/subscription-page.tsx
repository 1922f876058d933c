/** The frame of all screens of one subscription. */
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
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
  readonly children: (loaded: { readonly subscription: Subscription; reload(): void }) => ComponentChildren;
}): JSX.Element {
  const { sid, tab, children } = props;
  const { may } = customer();
  const { data, error, reload } = useSubscription(sid);
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
          <HealthBadge state={data.health.state} enabled={data.enabled} />
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
      {children({ subscription: data, reload })}
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
            {waiting > 0 && `${counted(waiting, 'event waits', 'events wait')}. `}
            One held event goes out as a probe now and then, at most 5 minutes after the last attempt. A
            success sends all of them. When your listener works again, send a test to end the waiting at once.
          </p>
        </Notice>
      );
  }
}
