/** One subscription: its figures, its settings, and what can be done with it. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { boundOf } from '../lib/chart.ts';
import type { SubscriptionFigures } from '../lib/figures.ts';
import { count, counted } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { navigate } from '../state/navigation.ts';
import { notify } from '../state/notices.ts';
import { customer } from '../state/session.ts';
import { HourChart } from '../ui/charts.tsx';
import { Button, Code, Confirm, Copy, Facts, Failure, Id, Loading, Panel, Time } from '../ui/parts.tsx';
import { failedHint, Tile, within } from './overview.tsx';
import { SubscriptionPage } from './subscription-page.tsx';
import type { Subscription as Resource } from './words.tsx';

const REFRESH_MS = 30_000;
const WEEK_HOURS = 168;

export function Subscription({ sid }: { readonly sid: string }): JSX.Element {
  return (
    <SubscriptionPage sid={sid} tab="about">
      {({ subscription, reload }) => (
        <>
          <Figures sid={sid} />
          <Settings subscription={subscription} />
          <Acts subscription={subscription} reload={reload} />
        </>
      )}
    </SubscriptionPage>
  );
}

function Figures({ sid }: { readonly sid: string }): JSX.Element {
  const { api, at } = customer();
  const { data, error, reload } = useLoad(
    async (signal) => {
      const query = { hours: WEEK_HOURS };
      const [figures, summary] = await Promise.all([
        api.json<SubscriptionFigures>(at('subscriptions', sid, 'stats'), { query, signal }),
        api.json<components['schemas']['Summary']>(at('subscriptions', sid, 'summary'), { signal }),
      ]);
      return { ...figures, failedNow: summary.failed };
    },
    [sid],
    REFRESH_MS,
  );
  if (data === undefined)
    return error ? (
      <Failure error={error} retry={reload} what="The figures could not be read." />
    ) : (
      <Loading what="the figures" />
    );
  const { totals, waiting, oldestWaitingAt, lastDeliveredAt, answerTimeBoundsMs: bounds, failedNow } = data;
  const answered = (share: number) => within(boundOf(totals.answerTimes, bounds, share), bounds);
  return (
    <>
      <ul class="tiles" aria-label="Figures">
        <Tile label="Delivered in 7 days" value={count(totals.delivered)}>
          {lastDeliveredAt !== undefined && (
            <>
              The last one <Time at={lastDeliveredAt} age />
            </>
          )}
        </Tile>
        <Tile
          label="Failed in 7 days"
          value={count(totals.failed)}
          tone={totals.failed > 0 ? 'bad' : undefined}
        >
          {failedNow > 0 ? (
            <>
              {failedHint(failedNow)}.{' '}
              <a href={hrefOf(['subscriptions', sid, 'events'], { state: 'failure' })}>See why</a>
            </>
          ) : (
            totals.failed > 0 && failedHint(0)
          )}
        </Tile>
        <Tile label="Waiting now" value={count(waiting)}>
          {oldestWaitingAt !== undefined && (
            <>
              The oldest since <Time at={oldestWaitingAt} />
            </>
          )}
        </Tile>
        <Tile label="Half answered within" value={answered(0.5)}>
          {totals.answerTimes.some((value) => value > 0) ? `99 % within ${answered(0.99)}` : 'No answer yet'}
        </Tile>
      </ul>
      <Panel title="Deliveries by hour" aside={!data.exact && 'Some hours are still being counted'}>
        <HourChart hours={data.hours} label="Delivered and failed events by hour, in 7 days" />
      </Panel>
    </>
  );
}

function Settings({ subscription }: { readonly subscription: Resource }): JSX.Element {
  const { endpoint, events, filter, createdAt, updatedAt, id } = subscription;
  return (
    <Panel title="Settings">
      <Facts
        items={[
          [
            'Endpoint',
            <span class="id" key="endpoint">
              <code class="breaks">{endpoint}</code>
              <Copy text={endpoint} what="endpoint" />
            </span>,
          ],
          ['Event types', events.length === 0 ? 'None: only tests arrive' : events.join(', ')],
          ['Filter', filter === undefined ? 'None: every event of these types' : 'See below'],
          ['Id', <Id key="id" id={id} what="subscription id" whole />],
          ['Created', <Time key="created" at={createdAt} />],
          ['Changed', <Time key="changed" at={updatedAt} />],
        ]}
      />
      {filter !== undefined && <Code text={JSON.stringify(filter, null, 2)} what="filter" />}
    </Panel>
  );
}

type Act = 'disable' | 'delete';

function Acts(props: { readonly subscription: Resource; readonly reload: () => void }): JSX.Element | null {
  const { subscription, reload } = props;
  const { id, title, enabled, health } = subscription;
  const { api, at, may } = customer();
  const [asking, setAsking] = useState<Act | undefined>();
  const mayChange = may('PATCH', 'subscriptions', id);
  const mayDelete = may('DELETE', 'subscriptions', id);
  const change = useAction(async (wanted: boolean) => {
    await api.json(at('subscriptions', id), { method: 'PATCH', body: { enabled: wanted } });
    setAsking(undefined);
    notify(wanted ? `“${title}” is enabled` : `“${title}” is disabled`);
    reload();
  });
  const remove = useAction(async () => {
    await api.json(at('subscriptions', id), { method: 'DELETE' });
    notify(`“${title}” was deleted`);
    navigate(['subscriptions']);
  });
  if (!mayChange && !mayDelete) return null;
  return (
    <Panel title={enabled ? 'Disable or delete' : 'Enable or delete'}>
      <div class="actions">
        {mayChange &&
          (enabled ? (
            <Button onClick={() => setAsking('disable')}>Disable…</Button>
          ) : (
            <Button kind="primary" busy={change.busy} onClick={() => change.run(true)}>
              Enable
            </Button>
          ))}
        {mayDelete && (
          <Button kind="danger" onClick={() => setAsking('delete')}>
            Delete…
          </Button>
        )}
      </div>
      {asking === undefined && <Failure error={change.error} />}
      {asking === 'disable' && (
        <Confirm
          title={`Disable “${title}”?`}
          action="Disable"
          danger
          busy={change.busy}
          error={change.error}
          onConfirm={() => change.run(false)}
          onClose={() => setAsking(undefined)}
        >
          <p>
            {(health.waiting ?? 0) > 0
              ? `${counted(health.waiting ?? 0, 'event that waits fails', 'events that wait fail')} at once, and a bulk redelivery that runs is canceled.`
              : 'No event waits now.'}{' '}
            Events that arrive meanwhile are stored as failed. Nothing is lost: enable the subscription again,
            and send them again.
          </p>
        </Confirm>
      )}
      {asking === 'delete' && (
        <DeleteDialog
          subscription={subscription}
          busy={remove.busy}
          error={remove.error}
          onConfirm={remove.run}
          onClose={() => setAsking(undefined)}
        />
      )}
    </Panel>
  );
}

function DeleteDialog(props: {
  readonly subscription: Resource;
  readonly busy: boolean;
  readonly error: Parameters<typeof Confirm>[0]['error'];
  readonly onConfirm: () => void;
  readonly onClose: () => void;
}): JSX.Element {
  const { subscription, busy, error, onConfirm, onClose } = props;
  const { api, at } = customer();
  const stored = useLoad(
    (signal) =>
      api.json<{ readonly total: number }>(at('subscriptions', subscription.id, 'events'), {
        query: { limit: 1, fields: 'summary', order: 'desc' },
        signal,
      }),
    [subscription.id],
  );
  const waiting = subscription.health.waiting ?? 0;
  return (
    <Confirm
      title={`Delete “${subscription.title}”?`}
      action="Delete it"
      typed={subscription.title}
      danger
      busy={busy}
      error={error}
      onConfirm={onConfirm}
      onClose={onClose}
    >
      <p>This cannot be taken back. These will be lost:</p>
      <ul class="losses">
        <li>
          {stored.data === undefined
            ? 'all stored events'
            : counted(stored.data.total, 'stored event', 'stored events')}{' '}
          with their history
        </li>
        {waiting > 0 && (
          <li>{counted(waiting, 'event that waits', 'events that wait')}, which will not be sent</li>
        )}
        <li>exports, and the record of redeliveries</li>
      </ul>
    </Confirm>
  );
}
