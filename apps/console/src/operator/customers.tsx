/** All customers. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { faultsOf } from '../lib/errors.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { navigate } from '../state/navigation.ts';
import { notify } from '../state/notices.ts';
import { access } from '../state/session.ts';
import {
  Button,
  Dialog,
  Empty,
  Failure,
  Field,
  Id,
  Loading,
  Page,
  Panel,
  Table,
  Time,
} from '../ui/parts.tsx';
import { Pages, pageOf } from './pages.tsx';

export type CustomerResource = components['schemas']['Customer'];

type List = components['schemas']['CustomerList'];

export function Customers(): JSX.Element {
  const page = pageOf();
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<List>('/operator/customers', { query: { page }, signal }),
    [page],
  );
  const [creating, setCreating] = useState(false);
  const customers = data?._embedded.customers ?? [];
  const create = (
    <Button kind="primary" icon="plus" onClick={() => setCreating(true)}>
      Create a customer
    </Button>
  );
  return (
    <Page title="Customers" actions={customers.length > 0 && create}>
      <Failure error={error} retry={reload} what="The customers could not be read." />
      {data === undefined && error === undefined && <Loading what="the customers" />}
      {data !== undefined && customers.length === 0 && (
        <Empty title={page === 1 ? 'No customer yet' : 'Nothing on this page'} action={page === 1 && create}>
          A customer has clients, keys and subscriptions of its own.
        </Empty>
      )}
      {customers.length > 0 && (
        <Panel title="Oldest first">
          <Table
            caption="Customers"
            rows={customers}
            keyOf={({ id }) => id}
            columns={[
              {
                title: 'Customer',
                main: true,
                cell: ({ id, name }) => (
                  <a class="row-link" href={hrefOf(['operator', 'customers', id])}>
                    {name}
                  </a>
                ),
              },
              { title: 'Id', cell: ({ id }) => <Id id={id} what="customer id" /> },
              {
                title: 'Fullest store',
                number: true,
                cell: ({ fullestStorePercent }) => `${fullestStorePercent} %`,
              },
              { title: 'Created', cell: ({ createdAt }) => <Time at={createdAt} /> },
            ]}
          />
        </Panel>
      )}
      {data !== undefined && <Pages links={data._links} />}
      {creating && <Create onClose={() => setCreating(false)} />}
    </Page>
  );
}

function Create({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [id, setId] = useState('');
  const { run, busy, error } = useAction(async () => {
    const made = await access.operator.json<CustomerResource>('/operator/customers', {
      method: 'POST',
      body: { name, ...(id.trim() !== '' && { id: id.trim().toLowerCase() }) },
    });
    notify(`“${made.name}” was created`);
    navigate(['operator', 'customers', made.id]);
  });
  return (
    <Dialog title="Create a customer" onClose={onClose}>
      <form
        novalidate
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <div class="dialog-body">
          <Field label="Name" faults={faultsOf(error, 'name')}>
            {(attributes) => (
              <input
                {...attributes}
                value={name}
                onInput={(event) => setName(event.currentTarget.value)}
                autocomplete="off"
              />
            )}
          </Field>
          <Field
            label="Id (optional)"
            hint="A UUID, for a customer that moves here and keeps its id. Without it, a new one is made."
            faults={faultsOf(error, 'id')}
          >
            {(attributes) => (
              <input
                {...attributes}
                class="mono"
                value={id}
                onInput={(event) => setId(event.currentTarget.value)}
                autocomplete="off"
                spellcheck={false}
              />
            )}
          </Field>
          {error !== undefined && error.faults.length === 0 && <Failure error={error} />}
        </div>
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button submit kind="primary" busy={busy}>
            Create
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}
