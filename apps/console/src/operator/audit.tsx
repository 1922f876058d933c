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

interface List {
  readonly _embedded: { readonly auditEntries: readonly Entry[] };
  readonly _links: { readonly next?: { readonly href: string } };
}

/** Of the audit trail (contract 10.7 and 10.15). The list is a help to choose; the service knows which there are. */
const EVENTS = [
  'console-link-created',
  'console-signed-in',
  'console-signed-out',
  'operator-signed-in',
  'operator-refused',
  'token-issued',
  'token-refused',
  'customer-created',
  'customer-erased',
  'client-created',
  'client-deleted',
  'client-secret-rotated',
  'subscription-deleted',
  'subscriptions-adopted-again',
  'signing-algorithm-changed',
  'signing-keys-rotated',
  'signing-keys-resealed',
  'dead-letter-read',
  'dead-letter-replayed',
  'dead-letter-dropped',
];

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
              {EVENTS.map((name) => (
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
              { title: 'Customer', cell: ({ customerId }) => <CustomerLink id={customerId} /> },
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

function CustomerLink({ id }: { readonly id: string | undefined }): JSX.Element {
  if (id === undefined) return <>–</>;
  return (
    <span class="id">
      <a href={hrefOf(['operator', 'customers', id])}>
        <code title={id}>{`${id.slice(0, 4)}…${id.slice(-8)}`}</code>
      </a>
    </span>
  );
}
