/** Where the operator gets notices of endpoints that fail and of events that were given up (contract 10.16). */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { HealthBadge } from '../customer/words.tsx';
import { faultsOf } from '../lib/errors.ts';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { access, asCallError } from '../state/session.ts';
import { Button, Confirm, Facts, Failure, Field, Id, Loading, Page, Panel, Time } from '../ui/parts.tsx';

const PATH = '/operator/notices';

type Setup = components['schemas']['Notices'];

export function Notices(): JSX.Element {
  const { data, error, reload } = useLoad<Setup | 'none'>(async (signal) => {
    try {
      return await access.operator.json<Setup>(PATH, { signal });
    } catch (failure) {
      if (asCallError(failure).status === 404) return 'none';
      throw failure;
    }
  }, []);
  return (
    <Page
      title="Notices"
      lead="The service tells you when an endpoint begins to fail, when it recovers, and when events were given up."
    >
      <Failure error={error} retry={reload} what="The notices could not be read." />
      {data === undefined && error === undefined && <Loading what="the notices" />}
      {data !== undefined && data !== 'none' && <Present setup={data} reload={reload} />}
      {data !== undefined && (
        <Form
          key={data === 'none' ? 'none' : data.updatedAt}
          setup={data === 'none' ? undefined : data}
          reload={reload}
        />
      )}
    </Page>
  );
}

function Present({ setup, reload }: { readonly setup: Setup; readonly reload: () => void }): JSX.Element {
  const [asking, setAsking] = useState(false);
  const end = useAction(async () => {
    await access.operator.json(PATH, { method: 'DELETE' });
    setAsking(false);
    notify('Notices have ended');
    reload();
  });
  return (
    <Panel title="Set up" aside={<HealthBadge state={setup.health.state} enabled={setup.enabled} />}>
      <Facts
        items={[
          ['Customer of the notices', <Customer key="customer" id={setup.customerId} />],
          ['Subscription', <Id key="subscription" id={setup.subscriptionId} what="subscription id" whole />],
          ['Changed', <Time key="changed" at={setup.updatedAt} />],
        ]}
      />
      <p class="soft">
        Its events, tests and redeliveries are those of any subscription: open the console as this customer.
      </p>
      <div class="actions">
        <Button kind="danger" onClick={() => setAsking(true)}>
          End the notices…
        </Button>
      </div>
      {asking && (
        <Confirm
          title="End the notices?"
          action="End them"
          danger
          busy={end.busy}
          error={end.error}
          onConfirm={end.run}
          onClose={() => setAsking(false)}
        >
          <p>Nobody gets notices from then on, and those that are stored are deleted.</p>
        </Confirm>
      )}
    </Panel>
  );
}

function Customer({ id }: { readonly id: string }): JSX.Element {
  return (
    <span class="id">
      <a href={hrefOf(['operator', 'customers', id])}>
        <code>{id}</code>
      </a>
    </span>
  );
}

function Form({
  setup,
  reload,
}: {
  readonly setup: Setup | undefined;
  readonly reload: () => void;
}): JSX.Element {
  const [endpoint, setEndpoint] = useState(setup?.endpoint ?? '');
  const [enabled, setEnabled] = useState(setup?.enabled ?? true);
  const { run, busy, error } = useAction(async () => {
    await access.operator.json(PATH, { method: 'PUT', body: { endpoint: endpoint.trim(), enabled } });
    notify('Saved. It takes effect within 30 seconds.');
    reload();
  });
  return (
    <Panel title={setup === undefined ? 'Set up notices' : 'Change'}>
      <form
        class="form"
        novalidate
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <Field
          label="Endpoint"
          hint="The https URL of your listener. Notices are signed tokens, like events."
          faults={faultsOf(error, 'endpoint')}
        >
          {(attributes) => (
            <input
              {...attributes}
              type="url"
              inputmode="url"
              placeholder="https://alarms.your.domain/webhooks"
              autocomplete="off"
              spellcheck={false}
              value={endpoint}
              onInput={(event) => setEndpoint(event.currentTarget.value)}
            />
          )}
        </Field>
        <label class="check">
          <input
            type="checkbox"
            checked={enabled}
            onChange={(event) => setEnabled(event.currentTarget.checked)}
          />
          <span>Enabled: notices are sent</span>
        </label>
        {error !== undefined && error.faults.length === 0 && <Failure error={error} />}
        <div class="actions">
          <Button submit kind="primary" busy={busy}>
            {setup === undefined ? 'Set up' : 'Save'}
          </Button>
        </div>
      </form>
    </Panel>
  );
}
