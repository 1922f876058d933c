/** Sends a test notification, and shows how it arrives. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { speak } from '../state/notices.ts';
import { customer } from '../state/session.ts';
import { Button, Dialog, Failure, Field, Loading, Notice } from '../ui/parts.tsx';
import { Timeline } from './timeline.tsx';
import { isFinal, type Subscription, type WebhookEvent } from './words.tsx';

const LOOK_EVERY_MS = 1_000;

export function TestDialog(props: {
  readonly subscription: Subscription;
  readonly onClose: () => void;
}): JSX.Element {
  const { subscription, onClose } = props;
  const { api, at } = customer();
  const [type, setType] = useState('');
  const [sent, setSent] = useState<string | undefined>();
  const { run, busy, error } = useAction(async () => {
    const event = await api.json<WebhookEvent>(at('subscriptions', subscription.id, 'test'), {
      method: 'POST',
      ...(type !== '' && { body: { type } }),
    });
    setSent(event.id);
    speak('The test was sent');
  });
  return (
    <Dialog title="Send a test" onClose={onClose}>
      <div class="dialog-body">
        <p class="breaks soft">To {subscription.endpoint}</p>
        {sent === undefined ? (
          <Field
            label="What to send"
            hint="An example is marked with “test”: true, and its profile does not exist."
          >
            {(attributes) => (
              <select {...attributes} value={type} onChange={(event) => setType(event.currentTarget.value)}>
                <option value="">The test notification</option>
                <option value="entityCreated">An example of entityCreated</option>
                <option value="entityUpdated">An example of entityUpdated</option>
                <option value="entityDeleted">An example of entityDeleted</option>
              </select>
            )}
          </Field>
        ) : (
          <>
            <Arrival sid={subscription.id} eid={sent} />
            <div class="actions">
              <Button kind="quiet" onClick={() => setSent(undefined)}>
                Send another
              </Button>
            </div>
          </>
        )}
        <Failure error={error} />
      </div>
      <footer>
        <Button onClick={onClose}>Close</Button>
        {/* The same button: a second click in its place must send nothing. */}
        <Button kind="primary" busy={busy} done={sent !== undefined} onClick={run}>
          {sent === undefined ? 'Send' : 'Sent'}
        </Button>
      </footer>
    </Dialog>
  );
}

function Arrival({ sid, eid }: { readonly sid: string; readonly eid: string }): JSX.Element {
  const { api, at } = customer();
  const { data, error, reload } = useLoad(
    async (signal) => {
      const path = at('subscriptions', sid, 'events', eid);
      const [event, history] = await Promise.all([
        api.json<WebhookEvent>(path, { signal }),
        api.json<components['schemas']['HistoryList']>(`${path}/history`, { signal }),
      ]);
      if (event.state === 'success') speak('The test arrived');
      return { event, history: history._embedded.history };
    },
    [sid, eid],
    (loaded) => (isFinal(loaded.event.state) ? undefined : LOOK_EVERY_MS),
  );
  if (data === undefined)
    return error ? <Failure error={error} retry={reload} /> : <Loading what="what happened" />;
  return (
    <>
      {data.event.state === 'success' && <Notice tone="ok">Your listener took the test.</Notice>}
      {data.event.state === 'awaiting-retry' && (
        <Notice tone="warn">Your listener did not take the test. It is sent again by the schedule.</Notice>
      )}
      {data.event.state === 'failure' && <Notice tone="warn">Your listener did not take the test.</Notice>}
      <Timeline history={data.history} />
      <p>
        <a href={hrefOf(['subscriptions', sid, 'events', eid])}>See the event</a>
      </p>
    </>
  );
}
