/** All subscriptions: state, a week at a glance, and the last delivery. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { type FiguresOfOne, wasTried } from '../lib/figures.ts';
import { count } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useLoad } from '../state/load.ts';
import { customer } from '../state/session.ts';
import { Sparkline } from '../ui/charts.tsx';
import { Empty, Failure, LinkButton, Loading, Page, Panel, Table, Time } from '../ui/parts.tsx';
import { loadFigures } from './load-figures.ts';
import { HealthBadge, hostOf, type Subscription } from './words.tsx';

const REFRESH_MS = 30_000;
/** A longer list gets a field to search in. */
const SEARCHED_FROM = 8;
const WEEK_HOURS = 168;

export function Subscriptions(): JSX.Element {
  const { api, at, may } = customer();
  const list = useLoad(
    (signal) => api.json<components['schemas']['SubscriptionList']>(at('subscriptions'), { signal }),
    [],
    REFRESH_MS,
  );
  const figures = useLoad((signal) => loadFigures(WEEK_HOURS, signal), [], REFRESH_MS);
  const [wanted, setWanted] = useState('');
  const all = list.data?._embedded.subscriptions ?? [];
  const words = wanted.toLowerCase();
  const shown = all.filter(({ title, endpoint, id }) =>
    `${title} ${endpoint} ${id}`.toLowerCase().includes(words),
  );
  const create = may('POST', 'subscriptions') && (
    <LinkButton to={['subscriptions', 'new']} kind="primary" icon="plus">
      Create a subscription
    </LinkButton>
  );
  return (
    <Page title="Subscriptions" actions={all.length > 0 && create}>
      <Failure error={list.error} retry={list.reload} what="The subscriptions could not be read." />
      {list.data !== undefined && (
        <Failure error={figures.error} retry={figures.reload} what="The figures could not be read." />
      )}
      {list.data === undefined && list.error === undefined && <Loading what="the subscriptions" />}
      {list.data !== undefined && all.length === 0 && (
        <Empty title="No subscription yet" action={create}>
          A subscription sends events of the types that you choose to an endpoint of yours, as signed tokens.
        </Empty>
      )}
      {all.length > 0 && (
        <Panel
          title={`${count(all.length)} in all`}
          aside={
            figures.data === undefined &&
            figures.error === undefined && <span aria-busy="true">Loading the figures…</span>
          }
        >
          {all.length >= SEARCHED_FROM && (
            <input
              class="search"
              type="search"
              aria-label="Search in titles, endpoints and ids"
              placeholder="Title, endpoint or id"
              value={wanted}
              onInput={(event) => setWanted(event.currentTarget.value)}
            />
          )}
          {shown.length === 0 ? (
            <Empty title="No subscription has this in its title, endpoint or id." />
          ) : (
            <List rows={shown} figuresOf={(id) => figures.data?.subscriptions.find((one) => one.id === id)} />
          )}
        </Panel>
      )}
    </Page>
  );
}

function List(props: {
  readonly rows: readonly Subscription[];
  readonly figuresOf: (id: string) => FiguresOfOne | undefined;
}): JSX.Element {
  const { rows, figuresOf } = props;
  return (
    <Table
      caption="Subscriptions"
      rows={rows}
      keyOf={({ id }) => id}
      columns={[
        {
          title: 'Subscription',
          main: true,
          cell: ({ id, title, endpoint }) => (
            <>
              <a class="row-link" href={hrefOf(['subscriptions', id])}>
                {title}
              </a>
              <span class="under" title={endpoint}>
                {hostOf(endpoint)}
              </span>
            </>
          ),
        },
        {
          title: 'State',
          cell: ({ id, health, enabled }) => {
            const own = figuresOf(id);
            return (
              <HealthBadge
                state={health.state}
                enabled={enabled}
                tried={own === undefined || wasTried(own)}
              />
            );
          },
        },
        {
          title: '7 days',
          cell: ({ id }) => {
            const own = figuresOf(id);
            return own === undefined ? '' : <Sparkline delivered={own.delivered} failed={own.failed} />;
          },
        },
        { title: 'Delivered', number: true, cell: ({ id }) => figure(figuresOf(id)?.totals.delivered) },
        { title: 'Failed', number: true, cell: ({ id }) => figure(figuresOf(id)?.totals.failed) },
        { title: 'Waiting', number: true, cell: ({ id }) => figure(figuresOf(id)?.waiting) },
        {
          title: 'Last delivery',
          cell: ({ id }) => {
            const last = figuresOf(id)?.lastDeliveredAt;
            return last === undefined ? '–' : <Time at={last} age />;
          },
        },
      ]}
    />
  );
}

function figure(value: number | undefined): string {
  return value === undefined ? '–' : count(value);
}
