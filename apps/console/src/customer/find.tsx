/** Where an event went: its deliveries to all subscriptions of the customer. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { count } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useLoad } from '../state/load.ts';
import { navigate, route } from '../state/navigation.ts';
import { customer } from '../state/session.ts';
import { Button, Empty, Failure, Field, Id, Loading, Page, Panel, Table, Time } from '../ui/parts.tsx';
import { answerOf, StateBadge, typeWord } from './words.tsx';

type List = components['schemas']['DeliveryList'];

const PAGES_MAX = 20;
const EVENT_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

export function Find(): JSX.Element {
  const id = route.value.query.get('id') ?? '';
  const [typed, setTyped] = useState(id);
  const [fault, setFault] = useState<string | undefined>();
  const look = () => {
    const wanted = typed.trim().toLowerCase();
    if (!EVENT_ID.test(wanted)) {
      setFault('An event id is a UUID of version 7, such as 01890a5d-ac96-774b-bcce-b302099a8057.');
      return;
    }
    setFault(undefined);
    navigate(['find'], { id: wanted });
  };
  return (
    <Page
      title="Find an event"
      lead="An event may go to several subscriptions. Its id shows where it went, and how it ended there."
    >
      <form
        class="find"
        novalidate
        onSubmit={(event) => {
          event.preventDefault();
          look();
        }}
      >
        <Field
          label="Event id"
          hint="It is in the answer to the publish, in the token, and beside each event here."
          faults={fault === undefined ? [] : [fault]}
        >
          {(attributes) => (
            <input
              {...attributes}
              class="mono"
              value={typed}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button submit kind="primary" icon="search">
          Find
        </Button>
      </form>
      {EVENT_ID.test(id) && <Result id={id} key={id} />}
    </Page>
  );
}

function Result({ id }: { readonly id: string }): JSX.Element {
  const { api, at } = customer();
  const { data, error, reload } = useLoad(
    async (signal) => {
      const found: List['_embedded']['deliveries'][number][] = [];
      let next: string | undefined = at('events', id);
      for (let page = 0; next !== undefined && page < PAGES_MAX; page++) {
        const list: List = await api.json<List>(next, { signal });
        found.push(...list._embedded.deliveries);
        next = list._links.next?.href;
      }
      return found;
    },
    [id],
  );
  return (
    <Panel title="Where it went" aside={<Id id={id} what="event id" />}>
      <Failure error={error} retry={reload} />
      {data === undefined && error === undefined && (
        <Loading what="the deliveries: every subscription is asked" />
      )}
      {data?.length === 0 && (
        <Empty title="No subscription has this event">
          It may have matched no subscription, may still be on its way, may have expired, or may never have
          been published. Events of a deleted subscription are gone with it.
        </Empty>
      )}
      {data !== undefined && data.length > 0 && (
        <Table
          caption="Deliveries of the event"
          rows={data}
          keyOf={({ subscription }) => subscription.id}
          columns={[
            {
              title: 'Subscription',
              main: true,
              cell: ({ subscription }) => (
                <a class="row-link" href={hrefOf(['subscriptions', subscription.id, 'events', id])}>
                  {subscription.title}
                </a>
              ),
            },
            { title: 'Type', cell: ({ type }) => typeWord(type) },
            { title: 'State', cell: ({ state }) => <StateBadge state={state} /> },
            { title: 'Last answer', cell: (delivery) => answerOf(delivery) ?? '–' },
            { title: 'Attempts', number: true, cell: ({ attempts }) => count(attempts) },
            { title: 'Changed', cell: ({ updatedAt }) => <Time at={updatedAt} /> },
          ]}
        />
      )}
    </Panel>
  );
}
