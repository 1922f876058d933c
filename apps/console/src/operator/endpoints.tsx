/** Endpoints in trouble, of all customers. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { HealthBadge } from '../customer/words.tsx';
import { hrefOf } from '../lib/routes.ts';
import { useLoad } from '../state/load.ts';
import { route, setQuery } from '../state/navigation.ts';
import { access } from '../state/session.ts';
import { Choice, Empty, Failure, Id, Loading, Page, Panel, Table, Time } from '../ui/parts.tsx';
import { Pages, pageOf } from './pages.tsx';

const REFRESH_MS = 30_000;

type State = 'failing' | 'slow' | 'unverified';

type List = components['schemas']['TroubledEndpointList'];

const STATES: readonly (readonly [State, string])[] = [
  ['failing', 'Failing'],
  ['slow', 'Slow'],
  ['unverified', 'Not verified'],
];

export function Endpoints(): JSX.Element {
  const wanted = route.value.query.get('state');
  const state = STATES.find(([value]) => value === wanted)?.[0] ?? 'failing';
  const page = pageOf();
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<List>('/operator/endpoints', { query: { state, page }, signal }),
    [state, page],
    REFRESH_MS,
  );
  const endpoints = data?._embedded.endpoints ?? [];
  return (
    <Page
      title="Endpoints in trouble"
      actions={
        <Choice
          label="State"
          value={state}
          options={STATES}
          onChange={(value) => setQuery({ state: value === 'failing' ? undefined : value, page: undefined })}
        />
      }
    >
      <Failure error={error} retry={reload} what="The endpoints could not be read." />
      {data === undefined && error === undefined && <Loading what="the endpoints" />}
      {data !== undefined && endpoints.length === 0 && (
        <Empty
          title={`No endpoint is ${STATES.find(([value]) => value === state)?.[1].toLowerCase() ?? state}`}
        />
      )}
      {endpoints.length > 0 && (
        <Panel title="The longest in trouble first">
          <Table
            caption="Endpoints in trouble"
            rows={endpoints}
            keyOf={({ subscriptionId }) => subscriptionId}
            columns={[
              {
                title: 'Subscription',
                main: true,
                cell: ({ title, host }) => (
                  <>
                    {title}
                    <span class="under">{host}</span>
                  </>
                ),
              },
              {
                title: 'Customer',
                cell: ({ customerId, customerName }) => (
                  <a href={hrefOf(['operator', 'customers', customerId])}>{customerName}</a>
                ),
              },
              { title: 'State', cell: ({ health }) => <HealthBadge state={health.state} enabled /> },
              {
                title: 'Since',
                cell: ({ health }) => (health.since === undefined ? '–' : <Time at={health.since} />),
              },
              {
                title: 'Subscription id',
                cell: ({ subscriptionId }) => <Id id={subscriptionId} what="subscription id" />,
              },
            ]}
          />
        </Panel>
      )}
      {data !== undefined && <Pages links={data._links} />}
    </Page>
  );
}
