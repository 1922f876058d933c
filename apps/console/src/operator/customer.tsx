/** One customer: its console, its clients, its keys, and its end. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { navigate } from '../state/navigation.ts';
import { notify } from '../state/notices.ts';
import { access } from '../state/session.ts';
import {
  Badge,
  Button,
  Choice,
  Confirm,
  Copy,
  Dialog,
  Facts,
  Failure,
  Field,
  Id,
  Loading,
  Page,
  Panel,
  Time,
} from '../ui/parts.tsx';
import { Clients } from './clients.tsx';
import type { CustomerResource } from './customers.tsx';

export function Customer({ cid }: { readonly cid: string }): JSX.Element {
  const path = `/operator/customers/${encodeURIComponent(cid)}`;
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<CustomerResource>(path, { signal }),
    [path],
  );
  const [opening, setOpening] = useState(false);
  const trail = [{ label: 'Customers', to: ['operator', 'customers'] }];
  if (data === undefined)
    return (
      <Page title="Customer" trail={trail}>
        <Failure error={error} retry={reload} />
        {error === undefined && <Loading what="the customer" />}
      </Page>
    );
  return (
    <Page
      title={data.name}
      trail={trail}
      lead={
        <div class="facts-line">
          <Id id={data.id} what="customer id" whole />
          <span>
            created <Time at={data.createdAt} />
          </span>
          <span>fullest event store {data.fullestStorePercent} %</span>
        </div>
      }
      actions={
        <Button kind="primary" icon="link" onClick={() => setOpening(true)}>
          Open the console as this customer
        </Button>
      }
    >
      <Clients path={`${path}/clients`} />
      <Keys path={path} customer={data} reload={reload} />
      <Restored path={path} />
      <Erase path={path} customer={data} />
      <p class="small">
        <a href={hrefOf(['operator', 'audit'], { customerId: data.id })}>
          What was done to this customer, in the audit
        </a>
      </p>
      {opening && <ConsoleLink path={path} name={data.name} onClose={() => setOpening(false)} />}
    </Page>
  );
}

type Link = components['schemas']['ConsoleLink'];

const VALID_SECONDS = { '900': '15 minutes', '3600': '1 hour', '86400': '1 day' } as const;

function ConsoleLink(props: {
  readonly path: string;
  readonly name: string;
  readonly onClose: () => void;
}): JSX.Element {
  const { path, name, onClose } = props;
  const [may, setMay] = useState<'read' | 'all'>('read');
  const [seconds, setSeconds] = useState<keyof typeof VALID_SECONDS>('3600');
  const [link, setLink] = useState<Link | undefined>();
  const { run, busy, error } = useAction(async () => {
    setLink(
      await access.operator.json<Link>(`${path}/console-links`, {
        method: 'POST',
        body: { readOnly: may === 'read', expiresInSeconds: Number(seconds) },
      }),
    );
  });
  return (
    <Dialog title={`A console link for “${name}”`} onClose={onClose}>
      <div class="dialog-body">
        {link === undefined ? (
          <>
            <p class="soft">
              Who opens the link is signed in as this customer, once. The sign-in is in the audit.
            </p>
            <Choice
              label="What the link permits"
              value={may}
              options={[
                ['read', 'Read only'],
                ['all', 'Read and change'],
              ]}
              onChange={setMay}
            />
            <Field label="It can be opened for">
              {(attributes) => (
                <select
                  {...attributes}
                  value={seconds}
                  onChange={(event) => setSeconds(event.currentTarget.value as keyof typeof VALID_SECONDS)}
                >
                  {Object.entries(VALID_SECONDS).map(([value, text]) => (
                    <option key={value} value={value}>
                      {text}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </>
        ) : (
          <>
            <p>
              <Badge tone={link.readOnly ? 'off' : 'ok'}>
                {link.readOnly ? 'Read-only' : 'Read and change'}
              </Badge>{' '}
              It works once, until <Time at={link.expiresAt} />.
            </p>
            <p class="secret">
              <code class="breaks">{link.url}</code>
              <Copy text={link.url} what="console link" word="Copy" />
            </p>
          </>
        )}
        <Failure error={error} />
      </div>
      <footer>
        <Button onClick={onClose}>Close</Button>
        {link === undefined ? (
          <Button kind="primary" busy={busy} onClick={run}>
            Make the link
          </Button>
        ) : (
          <a class="button primary" href={link.url} target="_blank" rel="noreferrer" onClick={onClose}>
            Open it in a new tab
          </a>
        )}
      </footer>
    </Dialog>
  );
}

type Algorithm = CustomerResource['signingAlgorithm'];

function Keys(props: {
  readonly path: string;
  readonly customer: CustomerResource;
  readonly reload: () => void;
}): JSX.Element {
  const { path, customer, reload } = props;
  const { id, signingAlgorithm: algorithm, signingAlgorithmFrom: from } = customer;
  const other: Algorithm = algorithm === 'EdDSA' ? 'RS256' : 'EdDSA';
  const [asking, setAsking] = useState<'rotate' | 'change' | undefined>();
  const [signing, setSigning] = useState<string | undefined>();
  const close = () => setAsking(undefined);
  const rotate = useAction(async () => {
    const { keys } = await access.operator.json<components['schemas']['JsonWebKeySet']>(
      `${path}/signing-keys/rotate`,
      { method: 'POST' },
    );
    setSigning(keys[0]?.kid);
    close();
    notify('The next key signs now');
  });
  const change = useAction(async () => {
    await access.operator.json(path, { method: 'PATCH', body: { signingAlgorithm: other } });
    close();
    reload();
  });
  return (
    <Panel title="Signing keys">
      <Facts
        items={[
          [
            'Algorithm',
            <span key="algorithm">
              {algorithm}
              {from !== undefined && Date.parse(from) > Date.now() && (
                <>
                  , from <Time at={from} /> on; RS256 until then
                </>
              )}
            </span>,
          ],
          [
            'Key set',
            <code key="keys" class="breaks">
              /{id}/login/jwk
            </code>,
          ],
          signing !== undefined && ['Signs now', <Id key="signing" id={signing} what="key id" />],
        ]}
      />
      <p class="soft">
        Keys rotate by themselves. Rotate them here when a private key may be known to others.
      </p>
      <div class="actions">
        <Button onClick={() => setAsking('rotate')}>Rotate the keys…</Button>
        <Button onClick={() => setAsking('change')}>Sign by {other}…</Button>
      </div>
      {asking === 'rotate' && (
        <Confirm
          title="Rotate the signing keys?"
          action="Rotate"
          busy={rotate.busy}
          error={rotate.error}
          onConfirm={rotate.run}
          onClose={close}
        >
          <p>
            The next key, which is published already, signs from now on. The present key stays published for
            35 days, so tokens that were signed with it can still be verified.
          </p>
        </Confirm>
      )}
      {asking === 'change' && (
        <Confirm
          title={`Sign by ${other}?`}
          action={`Sign by ${other}`}
          busy={change.busy}
          error={change.error}
          onConfirm={change.run}
          onClose={close}
        >
          {other === 'EdDSA' ? (
            <p>
              Only for listeners that accept both algorithms. The new keys are published at once, and sign in
              24 hours, when every listener has had time to fetch them.
            </p>
          ) : (
            <p>RS256 signs at once. Its keys were published all the time.</p>
          )}
        </Confirm>
      )}
    </Panel>
  );
}

function Restored({ path }: { readonly path: string }): JSX.Element {
  const { run, busy, error } = useAction(async () => {
    const { total, adopted } = await access.operator.json<{ total: number; adopted: number }>(
      `${path}/subscriptions/adopt-again`,
      { method: 'POST' },
    );
    notify(`${adopted} of ${total} event stores have adopted their subscription; the others do within a day`);
  });
  return (
    <Panel title="After the database was restored">
      <p class="soft">
        Make the event stores of this customer follow the rows of the database again. Safe to repeat.
      </p>
      <div class="actions">
        <Button busy={busy} onClick={run}>
          Adopt the subscriptions again
        </Button>
      </div>
      <Failure error={error} />
    </Panel>
  );
}

function Erase({
  path,
  customer,
}: {
  readonly path: string;
  readonly customer: CustomerResource;
}): JSX.Element {
  const [asking, setAsking] = useState(false);
  const { run, busy, error } = useAction(async () => {
    await access.operator.json(path, { method: 'DELETE' });
    notify(`“${customer.name}” was deleted`);
    navigate(['operator', 'customers']);
  });
  return (
    <Panel title="Delete the customer">
      <div class="actions">
        <Button kind="danger" onClick={() => setAsking(true)}>
          Delete…
        </Button>
      </div>
      {asking && (
        <Confirm
          title={`Delete “${customer.name}”?`}
          action="Delete the customer"
          typed={customer.name}
          danger
          busy={busy}
          error={error}
          onConfirm={run}
          onClose={() => setAsking(false)}
        >
          <p>This cannot be taken back. These will be lost:</p>
          <ul class="losses">
            <li>its clients and their secrets</li>
            <li>its signing keys: tokens that were sent can no longer be verified</li>
            <li>its subscriptions with every stored event</li>
            <li>its dead letters</li>
          </ul>
          <p>Stop its producers first.</p>
        </Confirm>
      )}
    </Panel>
  );
}
