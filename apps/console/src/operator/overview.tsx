/** The whole service at a glance. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { Tile } from '../customer/overview.tsx';
import { bytes, count, counted } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { access } from '../state/session.ts';
import { Badge, Button, Facts, Failure, Loading, Page, Panel, Progress, Table, Time } from '../ui/parts.tsx';

const REFRESH_MS = 15_000;

type Stats = components['schemas']['OperatorStats'];

export function OperatorOverview(): JSX.Element {
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<Stats>('/operator/stats', { signal }),
    [],
    REFRESH_MS,
  );
  return (
    <Page title="Overview">
      <Failure error={error} retry={reload} what="The figures could not be read." />
      {data === undefined ? error === undefined && <Loading what="the figures" /> : <Body stats={data} />}
      <Reseal />
    </Page>
  );
}

function Body({ stats }: { readonly stats: Stats }): JSX.Element {
  const { accepted, delivered, failed, waiting, oldestWaitingAt, subscriptions, deadLetters, stores } = stats;
  return (
    <>
      <ul class="tiles six" aria-label="Figures">
        <Tile label="Accepted in a day" value={count(accepted.lastDay)}>
          by {counted(stats.customers, 'customer')}
        </Tile>
        <Tile label="Delivered in a day" value={count(delivered.lastDay)} />
        <Tile
          label="Failed in a day"
          value={count(failed.lastDay)}
          tone={failed.lastDay > 0 ? 'bad' : undefined}
        />
        <Tile label="Waiting" value={count(waiting)}>
          {oldestWaitingAt !== undefined && (
            <>
              The oldest since <Time at={oldestWaitingAt} />
            </>
          )}
        </Tile>
        <Tile
          label="Failing endpoints"
          value={count(subscriptions.failing)}
          tone={subscriptions.failing > 0 ? 'bad' : undefined}
        >
          <a href={hrefOf(['operator', 'endpoints'])}>See them</a>
        </Tile>
        <Tile label="Dead letters" value={count(deadLetters)} tone={deadLetters > 0 ? 'bad' : undefined}>
          <a href={hrefOf(['operator', 'dead-letters'])}>See them</a>
        </Tile>
      </ul>
      <p class="small soft">
        Events in a day and waiting events are what each event store said at its last daily visit, so they may
        be a day old, and the first figures of a new subscription come within a day. The rest is of{' '}
        <Time at={stats.at} />.
      </p>
      <div class="columns">
        <Panel title="Queues">
          <Table
            caption="Backlogs of the queues"
            rows={stats.queues}
            keyOf={({ name }) => name}
            columns={[
              { title: 'Queue', main: true, cell: ({ name }) => name },
              { title: 'Messages', number: true, cell: ({ backlogMessages }) => count(backlogMessages) },
              { title: 'Size', number: true, cell: ({ backlogBytes }) => bytes(backlogBytes) },
              {
                title: 'Oldest',
                cell: ({ oldestMessageAt }) =>
                  oldestMessageAt === undefined ? '–' : <Time at={oldestMessageAt} age />,
              },
            ]}
          />
        </Panel>
        <Panel title="Subscriptions and stores">
          <Facts
            items={[
              ['Subscriptions', count(subscriptions.total)],
              ['Failing', <StateLink key="failing" state="failing" value={subscriptions.failing} />],
              ['Slow', <StateLink key="slow" state="slow" value={subscriptions.slow} />],
              [
                'Not verified',
                <StateLink key="unverified" state="unverified" value={subscriptions.unverified} />,
              ],
              ['Disabled', count(subscriptions.disabled)],
              [
                'Fullest event store',
                <span key="fullest">
                  {stores.fullestPercent} %{' '}
                  <Progress label="Fullest event store" value={stores.fullestPercent} max={100} />
                </span>,
              ],
              ['Over half full', count(stores.above50Percent)],
              [
                'Over 80 % full',
                stores.above80Percent === 0 ? (
                  '0'
                ) : (
                  <Badge key="full" tone="bad">
                    {counted(stores.above80Percent, 'store')}: failures are no longer kept whole
                  </Badge>
                ),
              ],
            ]}
          />
        </Panel>
      </div>
    </>
  );
}

function StateLink(props: { readonly state: string; readonly value: number }): JSX.Element {
  return <a href={hrefOf(['operator', 'endpoints'], { state: props.state })}>{count(props.value)}</a>;
}

type Resealed = components['schemas']['Reseal'];

function Reseal(): JSX.Element {
  const { run, busy, error } = useAction(async () => {
    let state: Resealed;
    do state = await access.operator.json<Resealed>('/operator/signing-keys/reseal', { method: 'POST' });
    while (state.remaining > state.unreadable);
    notify(
      state.unreadable > 0
        ? `${counted(state.unreadable, 'key opens', 'keys open')} with neither KEY_ENCRYPTION_KEY; the log names them`
        : `All ${counted(state.total, 'private key')} are sealed with the present KEY_ENCRYPTION_KEY`,
    );
  });
  return (
    <Panel title="After KEY_ENCRYPTION_KEY was replaced">
      <p class="soft">
        Seal every private signing key again, so that the previous value can be removed. Safe to repeat.
      </p>
      <div class="actions">
        <Button busy={busy} onClick={run}>
          Seal all keys again
        </Button>
      </div>
      <Failure error={error} />
    </Panel>
  );
}
