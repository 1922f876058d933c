/** The events of a subscription, newest first, as they come in. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { count, fromLocalInput, toLocalInput } from '../lib/format.ts';
import { merged } from '../lib/live-list.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { route, setQuery } from '../state/navigation.ts';
import { speak } from '../state/notices.ts';
import { customer } from '../state/session.ts';
import { Button, Countdown, Empty, Failure, Id, Loading, Panel, Table, Time } from '../ui/parts.tsx';
import { SubscriptionPage } from './subscription-page.tsx';
import { answerOf, type ListedEvent, STATES, StateBadge, TYPE_WORDS, typeWord } from './words.tsx';

const LIVE_MS = 5_000;
const PAGE = 50;
const FILTERS = ['type', 'state', 'since', 'until'] as const;

type Page = components['schemas']['EventList'];

export function Events({ sid }: { readonly sid: string }): JSX.Element {
  return (
    <SubscriptionPage sid={sid} tab="events">
      {({ subscription }) => (
        <>
          <Filters />
          <List sid={sid} enabled={subscription.enabled} />
        </>
      )}
    </SubscriptionPage>
  );
}

function useFilters(): Readonly<Record<(typeof FILTERS)[number], string>> {
  const { query } = route.value;
  const value = (name: string) => query.get(name) ?? '';
  return { type: value('type'), state: value('state'), since: value('since'), until: value('until') };
}

function Filters(): JSX.Element {
  const { type, state, since, until } = useFilters();
  const isSet = [type, state, since, until].some((value) => value !== '');
  const time = (name: 'since' | 'until', label: string, value: string) => (
    <label>
      <span>{label}</span>
      <input
        type="datetime-local"
        step="1"
        value={toLocalInput(value)}
        onChange={(event) => setQuery({ [name]: fromLocalInput(event.currentTarget.value) })}
      />
    </label>
  );
  return (
    <search class="filters" aria-label="Filter events">
      <label>
        <span>State</span>
        <select value={state} onChange={(event) => setQuery({ state: event.currentTarget.value })}>
          <option value="">Every state</option>
          {Object.entries(STATES).map(([value, { word }]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>Type</span>
        <select value={type} onChange={(event) => setQuery({ type: event.currentTarget.value })}>
          <option value="">Every type</option>
          {Object.entries(TYPE_WORDS).map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      </label>
      {time('since', 'From', since)}
      {time('until', 'To', until)}
      {isSet && (
        <Button kind="quiet" onClick={() => setQuery({ type: '', state: '', since: '', until: '' })}>
          Clear the filters
        </Button>
      )}
    </search>
  );
}

function List(props: { readonly sid: string; readonly enabled: boolean }): JSX.Element {
  const { sid, enabled } = props;
  const { api, at } = customer();
  const filters = useFilters();
  const query = { ...filters, order: 'desc', fields: 'summary', limit: PAGE };
  const path = at('subscriptions', sid, 'events');
  const key = JSON.stringify(query);
  const [shown, setShown] = useState<{
    key: string;
    events: readonly ListedEvent[];
    next: string | undefined;
  }>();
  const fresh = useRef(new Set<string>());
  const first = useLoad((signal) => api.json<Page>(path, { query, signal }), [path, key], LIVE_MS);
  const page = first.data;

  useEffect(() => {
    if (page === undefined) return;
    setShown((before) => {
      const events = page._embedded.events;
      if (before?.key !== key) return { key, events, next: page._links.next?.href };
      const { list, added } = merged(before.events, events, ({ id }) => id);
      fresh.current = new Set(added);
      if (added.length > 0) speak(`${added.length === 1 ? '1 new event' : `${added.length} new events`}`);
      return { ...before, events: list };
    });
  }, [page, key]);

  const older = useAction(async () => {
    if (shown?.next === undefined) return;
    const more = await api.json<Page>(shown.next);
    setShown((before) =>
      before?.key === key
        ? {
            key,
            events: merged(before.events, more._embedded.events, ({ id }) => id).list,
            next: more._links.next?.href,
          }
        : before,
    );
  });

  const isFiltered = FILTERS.some((name) => filters[name] !== '');
  const current = shown?.key === key ? shown : undefined;
  return (
    <Panel
      title="Events"
      aside={
        <span class={`live ${first.error === undefined ? '' : 'off'}`}>
          <span class="pulse" aria-hidden="true" />{' '}
          {first.error === undefined ? 'Live: looks every 5 s' : 'Not up to date: the last look failed'}
          {page !== undefined && ` · ${count(page.total)} stored`}
        </span>
      }
    >
      <Failure error={first.error} retry={first.reload} what="The events could not be read." />
      {current === undefined && first.error === undefined && <Loading what="the events" />}
      {current?.events.length === 0 && current.next === undefined && (
        <Nothing sid={sid} filtered={isFiltered} enabled={enabled} />
      )}
      {current !== undefined && current.events.length > 0 && (
        <Table
          caption="Events, newest first"
          rows={current.events}
          keyOf={({ id }) => id}
          classOf={({ id }) => (fresh.current.has(id) ? 'fresh' : '')}
          columns={[
            {
              title: 'Accepted',
              main: true,
              cell: ({ id, createdAt }) => (
                <a class="row-link" href={hrefOf(['subscriptions', sid, 'events', id])}>
                  <Time at={createdAt} />
                </a>
              ),
            },
            { title: 'Type', cell: ({ type }) => typeWord(type) },
            { title: 'State', cell: ({ state }) => <StateBadge state={state} /> },
            { title: 'Last answer', cell: (event) => <Answer event={event} /> },
            { title: 'Attempts', number: true, cell: ({ attempts }) => count(attempts) },
            { title: 'Event id', wide: true, cell: ({ id }) => <Id id={id} what="event id" whole /> },
          ]}
        />
      )}
      {current?.next !== undefined && (
        <div class="more">
          <Button busy={older.busy} onClick={older.run}>
            Show older events
          </Button>
          {current.events.length === 0 && (
            <p class="soft">Nothing found yet. The search goes on further back.</p>
          )}
          <Failure error={older.error} />
        </div>
      )}
    </Panel>
  );
}

function Answer({ event }: { readonly event: ListedEvent }): JSX.Element {
  const answer = answerOf(event);
  return (
    <>
      <span class="clip" title={answer}>
        {answer ?? (event.state === 'failure' ? 'No attempt' : '–')}
      </span>
      {event.nextAttemptAt !== undefined && (
        <span class="under">
          next <Countdown until={event.nextAttemptAt} />
        </span>
      )}
    </>
  );
}

function Nothing(props: {
  readonly sid: string;
  readonly filtered: boolean;
  readonly enabled: boolean;
}): JSX.Element {
  if (props.filtered)
    return (
      <Empty
        title="No event is like this"
        action={
          <Button onClick={() => setQuery({ type: '', state: '', since: '', until: '' })}>
            Clear the filters
          </Button>
        }
      >
        A filter looks at the present state of an event: one that failed, was sent again and was delivered is
        found as delivered. An old event may have expired.
      </Empty>
    );
  return (
    <Empty title="No event yet">
      {props.enabled
        ? 'Send a test with the button above: it appears here within seconds. Events of your platform follow when a profile changes.'
        : 'The subscription is disabled.'}
    </Empty>
  );
}
