/** Who did what. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { faultsOf } from '../lib/errors.ts';
import { count, fromLocalInput, toLocalInput } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { route, setQuery } from '../state/navigation.ts';
import { access } from '../state/session.ts';
import { Button, Empty, Failure, Field, Id, Loading, Page, Panel, Table, Time } from '../ui/parts.tsx';

type Entry = components['schemas']['AuditEntry'];

type List = components['schemas']['AuditEntryList'];

/** All that the service writes down: the type of an entry knows them, so that none can be left out here. */
const EVENTS: Readonly<Record<Entry['event'], true>> = {
  'console-link-created': true,
  'console-signed-in': true,
  'console-signed-out': true,
  'console-refused': true,
  'operator-signed-in': true,
  'operator-refused': true,
  'token-issued': true,
  'token-refused': true,
  'customer-created': true,
  'customer-erased': true,
  'client-created': true,
  'client-deleted': true,
  'client-secret-rotated': true,
  'subscription-deleted': true,
  'subscriptions-adopted-again': true,
  'shards-changed': true,
  'notices-set': true,
  'signing-algorithm-changed': true,
  'signing-keys-rotated': true,
  'signing-keys-resealed': true,
  'dead-letter-read': true,
  'dead-letter-replayed': true,
  'dead-letter-dropped': true,
};

const PARAMETERS = ['customerId', 'event', 'since', 'until'] as const;

export function Audit(): JSX.Element {
  const { query } = route.value;
  const filters = Object.fromEntries(PARAMETERS.map((name) => [name, query.get(name) ?? ''])) as Record<
    (typeof PARAMETERS)[number],
    string
  >;
  const key = JSON.stringify(filters);
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<List>('/operator/audit', { query: filters, signal }),
    [key],
  );
  const [more, setMore] = useState<{ key: string; entries: readonly Entry[]; next: string | undefined }>();
  useEffect(() => {
    if (data !== undefined)
      setMore({ key, entries: data._embedded.auditEntries, next: data._links.next?.href });
  }, [data, key]);
  const older = useAction(async () => {
    if (more?.next === undefined) return;
    const page = await access.operator.json<List>(more.next);
    setMore({
      key,
      entries: [...more.entries, ...page._embedded.auditEntries],
      next: page._links.next?.href,
    });
  });
  const shown = more?.key === key ? more : undefined;
  const names = useNames(shown?.entries ?? []);
  const time = (name: 'since' | 'until', label: string) => (
    <Field label={label} faults={faultsOf(error, name)}>
      {(attributes) => (
        <input
          {...attributes}
          type="datetime-local"
          step="1"
          value={toLocalInput(filters[name])}
          onChange={(event) => setQuery({ [name]: fromLocalInput(event.currentTarget.value) })}
        />
      )}
    </Field>
  );
  return (
    <Page
      title="Audit"
      lead="Who did what, the newest first. Kept for 90 days."
      actions={
        <Button icon="run" onClick={reload}>
          Look again
        </Button>
      }
    >
      <search class="filters" aria-label="Filter the audit">
        <Field label="Event">
          {(attributes) => (
            <select
              {...attributes}
              value={filters.event}
              onChange={(event) => setQuery({ event: event.currentTarget.value })}
            >
              <option value="">Every event</option>
              {Object.keys(EVENTS).map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Customer id" faults={faultsOf(error, 'customerId')}>
          {(attributes) => (
            <input
              {...attributes}
              class="mono"
              value={filters.customerId}
              spellcheck={false}
              autocomplete="off"
              onChange={(event) => setQuery({ customerId: event.currentTarget.value.trim() })}
            />
          )}
        </Field>
        {time('since', 'From')}
        {time('until', 'Before')}
      </search>
      {error !== undefined && <Failure error={error} retry={reload} />}
      {shown === undefined && error === undefined && <Loading what="the audit" />}
      {shown?.entries.length === 0 && <Empty title="No entry is like this" />}
      {shown !== undefined && shown.entries.length > 0 && (
        <Panel title="Entries">
          <Table
            caption="Audit entries, newest first"
            rows={shown.entries}
            keyOf={({ id }) => id}
            columns={[
              { title: 'When', main: true, cell: ({ createdAt }) => <Time at={createdAt} /> },
              {
                title: 'Event',
                cell: ({ event, count: times }) => (
                  <>
                    {event}
                    {times > 1 && <span class="soft"> × {count(times)}</span>}
                  </>
                ),
              },
              { title: 'Outcome', cell: ({ outcome }) => outcome },
              {
                title: 'Who',
                cell: ({ actor, clientId, address }) => (
                  <>
                    {clientId === undefined ? actor : <Id id={clientId} what="client id" />}
                    {address !== undefined && <span class="under">{address}</span>}
                  </>
                ),
              },
              {
                title: 'Customer',
                cell: ({ customerId }) => (
                  <CustomerLink id={customerId} name={names.data?.get(customerId ?? '')} />
                ),
              },
              {
                title: 'Target',
                cell: ({ target }) => (target === undefined ? '–' : <Id id={target} what="target" />),
              },
              {
                title: 'Request',
                cell: ({ requestId }) =>
                  requestId === undefined ? '–' : <Id id={requestId} what="request id" />,
              },
            ]}
          />
          {shown.next !== undefined && (
            <div class="more">
              <Button busy={older.busy} onClick={older.run}>
                Show older entries
              </Button>
              <Failure error={older.error} />
            </div>
          )}
        </Panel>
      )}
    </Page>
  );
}

/** An erased customer has no name any more, so its id stands there. */
function CustomerLink(props: {
  readonly id: string | undefined;
  readonly name: string | undefined;
}): JSX.Element {
  const { id, name } = props;
  if (id === undefined) return <>–</>;
  return (
    <a href={hrefOf(['operator', 'customers', id])} title={id}>
      {name ?? <code>{`${id.slice(0, 4)}…${id.slice(-8)}`}</code>}
    </a>
  );
}

/** Each costs a call. */
const NAMES_MAX = 20;

/** The names of the customers of the entries. */
function useNames(entries: readonly Entry[]) {
  const ids = [...new Set(entries.flatMap(({ customerId }) => customerId ?? []))].slice(0, NAMES_MAX);
  return useLoad(
    async (signal) => {
      const pairs = ids.map(async (id) => {
        const path = `/operator/customers/${encodeURIComponent(id)}`;
        const found = await access.operator
          .json<{ readonly name: string }>(path, { signal })
          .catch(() => undefined);
        return [id, found?.name] as const;
      });
      return new Map(await Promise.all(pairs));
    },
    [ids],
  );
}
