/** The clients of a customer. A secret is shown once. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { faultsOf } from '../lib/errors.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { access } from '../state/session.ts';
import {
  Button,
  Confirm,
  Copy,
  Dialog,
  Empty,
  Facts,
  Failure,
  Field,
  Id,
  Loading,
  Notice,
  Panel,
  Table,
  Time,
} from '../ui/parts.tsx';

type Client = components['schemas']['Client'];
type WithSecret = Client & { readonly clientSecret: string };

type List = components['schemas']['ClientList'];

type Asking = { readonly act: 'create' } | { readonly act: 'rotate' | 'delete'; readonly client: Client };

const SCOPES: readonly (readonly [string, string])[] = [
  ['*:webhooks/**', 'Everything of the customer'],
  ['GET:webhooks/**', 'Reading alone'],
  ['POST:webhooks/events', 'Publishing alone'],
];

export function Clients({ path }: { readonly path: string }): JSX.Element {
  const { data, error, reload } = useLoad((signal) => access.operator.json<List>(path, { signal }), [path]);
  const [asking, setAsking] = useState<Asking | undefined>();
  const [made, setMade] = useState<WithSecret | undefined>();
  const close = () => setAsking(undefined);
  const show = (client: WithSecret) => {
    setAsking(undefined);
    setMade(client);
    reload();
  };
  const clients = data?._embedded.clients ?? [];
  return (
    <Panel
      title="Clients"
      aside={
        <Button icon="plus" onClick={() => setAsking({ act: 'create' })}>
          Create a client
        </Button>
      }
    >
      <Failure error={error} retry={reload} what="The clients could not be read." />
      {data === undefined && error === undefined && <Loading what="the clients" />}
      {data !== undefined && clients.length === 0 && (
        <Empty title="No client yet">
          A program of the customer calls the API with the id and the secret of a client.
        </Empty>
      )}
      {clients.length > 0 && (
        <Table
          caption="Clients"
          rows={clients}
          keyOf={({ clientId }) => clientId}
          columns={[
            { title: 'Name', main: true, cell: ({ name }) => name },
            { title: 'Client id', cell: ({ clientId }) => <Id id={clientId} what="client id" /> },
            { title: 'Scope', cell: ({ scope }) => <code class="breaks">{scope}</code> },
            { title: 'Created', cell: ({ createdAt }) => <Time at={createdAt} /> },
            {
              title: '',
              cell: (client) => (
                <span class="actions">
                  <Button
                    kind="quiet"
                    label={`New secret for ${client.name}`}
                    onClick={() => setAsking({ act: 'rotate', client })}
                  >
                    New secret…
                  </Button>
                  <Button
                    kind="quiet"
                    label={`Delete ${client.name}`}
                    onClick={() => setAsking({ act: 'delete', client })}
                  >
                    Delete…
                  </Button>
                </span>
              ),
            },
          ]}
        />
      )}
      {asking?.act === 'create' && <Create path={path} onMade={show} onClose={close} />}
      {asking?.act === 'rotate' && (
        <Rotate path={path} client={asking.client} onMade={show} onClose={close} />
      )}
      {asking?.act === 'delete' && (
        <Delete
          path={path}
          client={asking.client}
          onClose={close}
          onDone={() => {
            close();
            reload();
          }}
        />
      )}
      {made !== undefined && <Secret client={made} onClose={() => setMade(undefined)} />}
    </Panel>
  );
}

function Secret({
  client,
  onClose,
}: {
  readonly client: WithSecret;
  readonly onClose: () => void;
}): JSX.Element {
  const [stored, setStored] = useState(false);
  return (
    <Dialog title="Copy the secret now" onClose={onClose} held={!stored}>
      <div class="dialog-body">
        <Notice tone="warn">The secret is shown this once. Nobody can read it later.</Notice>
        <Facts
          items={[
            ['Client id', <Id key="id" id={client.clientId} what="client id" whole />],
            [
              'Client secret',
              <span key="secret" class="secret">
                <code class="breaks">{client.clientSecret}</code>
                <Copy
                  text={client.clientSecret}
                  what="client secret"
                  word="Copy"
                  onCopied={() => setStored(true)}
                />
              </span>,
            ],
          ]}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={stored}
            onChange={(event) => setStored(event.currentTarget.checked)}
          />
          <span>I have the secret. This can be closed.</span>
        </label>
      </div>
      <footer>
        <Button kind="primary" onClick={onClose} disabled={!stored}>
          Done
        </Button>
      </footer>
    </Dialog>
  );
}

function Create(props: {
  readonly path: string;
  readonly onMade: (client: WithSecret) => void;
  readonly onClose: () => void;
}): JSX.Element {
  const [name, setName] = useState('');
  const [scope, setScope] = useState('*:webhooks/**');
  const { run, busy, error } = useAction(async () => {
    props.onMade(
      await access.operator.json<WithSecret>(props.path, { method: 'POST', body: { name, scope } }),
    );
  });
  return (
    <Dialog title="Create a client" onClose={props.onClose}>
      <form
        novalidate
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <div class="dialog-body">
          <Field label="Name" hint="For people, such as backend" faults={faultsOf(error, 'name')}>
            {(attributes) => (
              <input
                {...attributes}
                value={name}
                autocomplete="off"
                onInput={(event) => setName(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field
            label="Scope"
            hint={SCOPES.map(([value, text]) => (
              <p key={value}>
                {text}: <code>{value}</code>
              </p>
            ))}
            faults={faultsOf(error, 'scope')}
          >
            {(attributes) => (
              <>
                <input
                  {...attributes}
                  class="mono"
                  list="scopes"
                  value={scope}
                  spellcheck={false}
                  autocomplete="off"
                  onInput={(event) => setScope(event.currentTarget.value)}
                />
                <datalist id="scopes">
                  {SCOPES.map(([value, text]) => (
                    <option key={value} value={value}>
                      {text}
                    </option>
                  ))}
                </datalist>
              </>
            )}
          </Field>
          {error !== undefined && error.faults.length === 0 && <Failure error={error} />}
        </div>
        <footer>
          <Button onClick={props.onClose}>Cancel</Button>
          <Button submit kind="primary" busy={busy}>
            Create
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function Rotate(props: {
  readonly path: string;
  readonly client: Client;
  readonly onMade: (client: WithSecret) => void;
  readonly onClose: () => void;
}): JSX.Element {
  const { path, client, onMade, onClose } = props;
  const [keep, setKeep] = useState('3600');
  const { run, busy, error } = useAction(async () => {
    onMade(
      await access.operator.json<WithSecret>(`${path}/${encodeURIComponent(client.clientId)}/rotate-secret`, {
        method: 'POST',
        body: { keepOldSeconds: Number(keep) },
      }),
    );
  });
  return (
    <Confirm
      title={`A new secret for “${client.name}”?`}
      action="Make a new secret"
      busy={busy}
      error={error}
      onConfirm={run}
      onClose={onClose}
    >
      <Field
        label="The old secret works for"
        hint="Long enough to bring the new one to every program of the client."
      >
        {(attributes) => (
          <select {...attributes} value={keep} onChange={(event) => setKeep(event.currentTarget.value)}>
            <option value="0">No longer: it ends at once</option>
            <option value="3600">1 hour more</option>
            <option value="86400">1 day more</option>
            <option value="604800">7 days more</option>
          </select>
        )}
      </Field>
    </Confirm>
  );
}

function Delete(props: {
  readonly path: string;
  readonly client: Client;
  readonly onDone: () => void;
  readonly onClose: () => void;
}): JSX.Element {
  const { path, client, onDone, onClose } = props;
  const { run, busy, error } = useAction(async () => {
    await access.operator.json(`${path}/${encodeURIComponent(client.clientId)}`, { method: 'DELETE' });
    notify(`The client “${client.name}” was deleted`);
    onDone();
  });
  return (
    <Confirm
      title={`Delete the client “${client.name}”?`}
      action="Delete the client"
      danger
      busy={busy}
      error={error}
      onConfirm={run}
      onClose={onClose}
    >
      <p>Its secrets end at once, and its tokens within 60 seconds. Subscriptions and events stay.</p>
    </Confirm>
  );
}
