/** Creates or changes a subscription. Faults show as one types; the service's own show at their fields. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { type CallError, faultSentence, faultsOf } from '../lib/errors.ts';
import { hrefOf } from '../lib/routes.ts';
import {
  changeOf,
  creationOf,
  type Draft,
  EVENT_TYPES,
  type EventType,
  endpointHint,
  exampleEvent,
  type Faults,
  faultsIn,
  parseJson,
  TEMPLATES,
} from '../lib/subscription-form.ts';
import { keepDraft, takeDraft } from '../state/draft.ts';
import { useAction, useLoad } from '../state/load.ts';
import { navigate } from '../state/navigation.ts';
import { notify } from '../state/notices.ts';
import { customer, sessions } from '../state/session.ts';
import { Badge, Button, Choice, Failure, Field, Loading, Notice, Page, Panel } from '../ui/parts.tsx';
import { afterClick } from '../ui/pointer.ts';
import { Missing } from './missing.tsx';
import type { Subscription } from './words.tsx';

const NEW: Draft = { title: '', endpoint: '', events: [...EVENT_TYPES], enabled: true, filter: '' };

function ReadOnly(): JSX.Element {
  return (
    <Notice tone="warn">
      This session may read and change nothing, so there is no form here. Ask for a link that permits changes.
    </Notice>
  );
}

export function NewSubscription(): JSX.Element {
  const { api, at, may } = customer();
  return (
    <Page title="Create a subscription" trail={[{ label: 'Subscriptions', to: ['subscriptions'] }]}>
      {may('POST', 'subscriptions') ? (
        <Form
          initial={NEW}
          action="Create"
          back={['subscriptions']}
          submit={async (draft) => {
            const made = await api.json<Subscription>(at('subscriptions'), {
              method: 'POST',
              body: creationOf(draft),
            });
            notify(`“${made.title}” was created. Send a test to see whether its listener answers.`);
            navigate(['subscriptions', made.id]);
          }}
        />
      ) : (
        <ReadOnly />
      )}
    </Page>
  );
}

export function EditSubscription({ sid }: { readonly sid: string }): JSX.Element {
  const { api, at, may } = customer();
  const { data, error, reload } = useLoad(
    (signal) => api.json<Subscription>(at('subscriptions', sid), { signal }),
    [sid],
  );
  const trail = [
    { label: 'Subscriptions', to: ['subscriptions'] },
    { label: data?.title ?? 'Subscription', to: ['subscriptions', sid] },
  ];
  const initial = data && draftOf(data);
  return (
    <Page title="Edit the subscription" trail={trail}>
      {initial === undefined ? (
        error ? (
          <Missing error={error} retry={reload} />
        ) : (
          <Loading what="the subscription" />
        )
      ) : !may('PATCH', 'subscriptions', sid) ? (
        <ReadOnly />
      ) : (
        <Form
          initial={initial}
          action="Save"
          back={['subscriptions', sid]}
          submit={async (draft) => {
            await api.json(at('subscriptions', sid), { method: 'PATCH', body: changeOf(initial, draft) });
            notify(`“${draft.title}” was saved`);
            navigate(['subscriptions', sid]);
          }}
        />
      )}
    </Page>
  );
}

function draftOf({ title, endpoint, events, enabled, filter }: Subscription): Draft {
  return {
    title,
    endpoint,
    events,
    enabled,
    filter: filter === undefined ? '' : JSON.stringify(filter, null, 2),
  };
}

function Form(props: {
  readonly initial: Draft;
  readonly action: string;
  readonly back: readonly string[];
  readonly submit: (draft: Draft) => Promise<void>;
}): JSX.Element {
  const place = `${customer().id} ${props.back.join('/')}`;
  const [kept] = useState(() => takeDraft<Draft>(place));
  const [draft, setDraft] = useState(kept ?? props.initial);
  const latest = useRef(draft);
  latest.current = draft;
  useEffect(
    () => () => {
      const state = sessions.customer.peek();
      if (state.state === 'none' && state.ended) keepDraft(place, latest.current);
    },
    [place],
  );
  const [touched, setTouched] = useState<Readonly<Record<string, true>>>({});
  const { run, busy, error, clear } = useAction(async () => {
    setTouched({ title: true, endpoint: true, filter: true });
    const [first] = Object.keys(faultsIn(draft));
    if (first === undefined) return await props.submit(draft);
    document.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
  });
  const local = faultsIn(draft);
  const set = (change: Partial<Draft>) => {
    setDraft({ ...draft, ...change });
    clear();
  };
  const leave = (field: string) => afterClick(() => setTouched((before) => ({ ...before, [field]: true })));
  const faults = (field: keyof Faults) => [
    ...(touched[field] && local[field] !== undefined ? [local[field]] : []),
    ...faultsOf(error, field).map((reason) => faultSentence(field, reason)),
  ];
  const toggle = (type: EventType) =>
    set({ events: EVENT_TYPES.filter((one) => (one === type) !== draft.events.includes(one)) });
  return (
    <form
      class="form"
      novalidate
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      {kept !== undefined && <Notice>What you had typed before you signed in is here again.</Notice>}
      <Panel title="What it is">
        <Field
          label="Title"
          hint="2 to 200 characters, unique among your subscriptions"
          faults={faults('title')}
        >
          {(attributes) => (
            <input
              {...attributes}
              name="title"
              value={draft.title}
              required
              autocomplete="off"
              onInput={(event) => set({ title: event.currentTarget.value })}
              onBlur={() => leave('title')}
            />
          )}
        </Field>
        <Field
          label="Endpoint"
          hint={
            endpointHint(draft.endpoint) ??
            'The https URL of your listener. Signed tokens are posted there, and a 2xx takes them.'
          }
          faults={faults('endpoint')}
        >
          {(attributes) => (
            <input
              {...attributes}
              name="endpoint"
              type="url"
              inputmode="url"
              placeholder="https://listener.example.com/hooks"
              value={draft.endpoint}
              required
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => set({ endpoint: event.currentTarget.value })}
              onBlur={() => leave('endpoint')}
            />
          )}
        </Field>
        <fieldset class="checks-field">
          <legend>Event types</legend>
          {EVENT_TYPES.map((type) => (
            <label key={type} class="check">
              <input type="checkbox" checked={draft.events.includes(type)} onChange={() => toggle(type)} />
              <span>{type}</span>
            </label>
          ))}
          {draft.events.length === 0 && <p class="hint">Without a type, only tests arrive.</p>}
          {faults('events').map((fault) => (
            <p key={fault} class="fault" role="alert">
              {fault}
            </p>
          ))}
        </fieldset>
        <label class="check">
          <input
            type="checkbox"
            checked={draft.enabled}
            onChange={(event) => set({ enabled: event.currentTarget.checked })}
          />
          <span>Enabled: events are sent</span>
        </label>
      </Panel>
      <FilterPart
        draft={draft}
        faults={faults('filter')}
        set={(filter) => set({ filter })}
        leave={() => leave('filter')}
      />
      {error !== undefined && <Failure error={unplaced(error)} what={`Nothing was changed.`} />}
      <div class="actions">
        <Button submit kind="primary" busy={busy}>
          {props.action}
        </Button>
        <a class="button plain" href={hrefOf(props.back)}>
          Cancel
        </a>
      </div>
    </form>
  );
}

/** An error whose faults all stand at a field needs a short word below the form alone. */
function unplaced(error: CallError): CallError {
  const fields = ['title', 'endpoint', 'events', 'filter', 'enabled'];
  const isPlaced = (name: string) => fields.some((field) => name === field || name.startsWith(`${field}[`));
  if (error.faults.length === 0 || !error.faults.every(({ name }) => isPlaced(name))) return error;
  return Object.assign(Object.create(error), { message: 'See the fields that are marked above.' });
}

function FilterPart(props: {
  readonly draft: Draft;
  readonly faults: readonly string[];
  readonly set: (filter: string) => void;
  readonly leave: () => void;
}): JSX.Element {
  const { draft, faults, set, leave } = props;
  return (
    <Panel title="Filter (optional)">
      <p class="soft">
        A JSON Schema for the <code>events</code> claim of the token. An event that does not fit is not sent
        and not stored. Begin with a template:
      </p>
      <div class="actions">
        {TEMPLATES.map(({ name, filter }) => (
          <Button key={name} onClick={() => set(JSON.stringify(filter, null, 2))}>
            {name}
          </Button>
        ))}
        {draft.filter !== '' && (
          <Button kind="quiet" onClick={() => set('')}>
            No filter
          </Button>
        )}
      </div>
      <Field label="Filter as JSON" hint="Empty: every event of the types above is sent." faults={faults}>
        {(attributes) => (
          <textarea
            {...attributes}
            name="filter"
            class="mono"
            rows={draft.filter === '' ? 3 : 14}
            spellcheck={false}
            value={draft.filter}
            onInput={(event) => set(event.currentTarget.value)}
            onBlur={leave}
          />
        )}
      </Field>
      {draft.filter.trim() !== '' && customer().may('POST', 'filter-tests') && (
        <Tester filter={draft.filter} />
      )}
    </Panel>
  );
}

type Verdict = components['schemas']['FilterTestResult'];

function Tester({ filter }: { readonly filter: string }): JSX.Element {
  const { api, at } = customer();
  const [type, setType] = useState<EventType>('entityUpdated');
  const [event, setEvent] = useState(JSON.stringify(exampleEvent('entityUpdated'), null, 2));
  const [verdict, setVerdict] = useState<Verdict | undefined>();
  const [fault, setFault] = useState<string | undefined>();
  const { run, busy, error, clear } = useAction(async () => {
    setVerdict(undefined);
    const schema = parseJson(filter);
    const body = parseJson(event);
    const wrong = 'fault' in schema ? `The filter is not JSON: ${schema.fault}` : undefined;
    setFault(wrong ?? ('fault' in body ? `The event is not JSON: ${body.fault}` : undefined));
    if ('fault' in schema || 'fault' in body) return;
    setVerdict(
      await api.json<Verdict>(at('filter-tests'), {
        method: 'POST',
        body: { filter: schema.value, event: body.value },
      }),
    );
  });
  const edit = (text: string) => {
    setEvent(text);
    setVerdict(undefined);
    setFault(undefined);
    clear();
  };
  return (
    <div class="tester">
      <h3>Try the filter</h3>
      <Choice
        label="Type of the event to try"
        value={type}
        options={EVENT_TYPES.map((one) => [one, one] as const)}
        onChange={(next) => {
          setType(next);
          edit(JSON.stringify(exampleEvent(next), null, 2));
        }}
      />
      <Field
        label="An event, as it would be published"
        hint="Change it to what your platform publishes."
        faults={[
          ...(fault === undefined ? [] : [fault]),
          ...faultsOf(error, 'event'),
          ...faultsOf(error, 'filter'),
        ]}
      >
        {(attributes) => (
          <textarea
            {...attributes}
            class="mono"
            rows={9}
            spellcheck={false}
            value={event}
            onInput={(change) => edit(change.currentTarget.value)}
          />
        )}
      </Field>
      <div class="actions">
        <Button busy={busy} onClick={run}>
          Try it
        </Button>
        <span role="status">{verdict !== undefined && <VerdictBadge verdict={verdict} />}</span>
      </div>
      {error !== undefined && error.faults.length === 0 && <Failure error={error} />}
    </div>
  );
}

function VerdictBadge({ verdict }: { readonly verdict: Verdict }): JSX.Element {
  const { matches, typeNamed } = verdict;
  return (
    <>
      <Badge tone={matches ? 'ok' : 'bad'}>{matches ? 'The event passes' : 'The event is left out'}</Badge>
      {!typeNamed && (
        <span class="soft">
          {' '}
          The filter says nothing of this type{matches && ', so every event of it passes'}.
        </span>
      )}
    </>
  );
}
