/** Messages that could not be processed: read, replayed or dropped. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { hrefOf } from '../lib/routes.ts';
import { useAction, useLoad } from '../state/load.ts';
import { navigate } from '../state/navigation.ts';
import { notify } from '../state/notices.ts';
import { access } from '../state/session.ts';
import {
  Button,
  Code,
  Confirm,
  Empty,
  Facts,
  Failure,
  Id,
  Loading,
  Page,
  Panel,
  Table,
  Time,
} from '../ui/parts.tsx';
import { Pages, pageOf } from './pages.tsx';

type Letter = components['schemas']['DeadLetter'];

type List = components['schemas']['DeadLetterList'];

export function DeadLetters(): JSX.Element {
  const page = pageOf();
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<List>('/operator/dead-letters', { query: { page }, signal }),
    [page],
  );
  const letters = data?._embedded.deadLetters ?? [];
  return (
    <Page
      title="Dead letters"
      lead="Messages of our queues that could not be processed. They are never a listener’s failure. Kept for 30 days."
    >
      <Failure error={error} retry={reload} what="The dead letters could not be read." />
      {data === undefined && error === undefined && <Loading what="the dead letters" />}
      {data !== undefined && letters.length === 0 && (
        <Empty title={page === 1 ? 'No dead letter' : 'Nothing on this page'}>
          Every message was processed.
        </Empty>
      )}
      {letters.length > 0 && (
        <Panel title="Oldest first">
          <Table
            caption="Dead letters"
            rows={letters}
            keyOf={({ id }) => id}
            columns={[
              {
                title: 'Reason',
                main: true,
                cell: ({ id, reason }) => (
                  <a class="row-link breaks" href={hrefOf(['operator', 'dead-letters', id])}>
                    {reason}
                  </a>
                ),
              },
              { title: 'Queue', cell: ({ queue }) => queue },
              { title: 'Accepted', cell: ({ acceptedAt }) => (acceptedAt ? <Time at={acceptedAt} /> : '–') },
              { title: 'Given up', cell: ({ createdAt }) => <Time at={createdAt} /> },
              { title: 'Id', cell: ({ id }) => <Id id={id} what="dead letter id" /> },
            ]}
          />
        </Panel>
      )}
      {data !== undefined && <Pages links={data._links} />}
    </Page>
  );
}

export function DeadLetter({ id }: { readonly id: string }): JSX.Element {
  const path = `/operator/dead-letters/${encodeURIComponent(id)}`;
  const { data, error, reload } = useLoad(
    (signal) => access.operator.json<Letter & { readonly body?: unknown }>(path, { signal }),
    [path],
  );
  const [dropping, setDropping] = useState(false);
  const back = () => navigate(['operator', 'dead-letters']);
  const replay = useAction(async () => {
    await access.operator.json(`${path}/replay`, { method: 'POST' });
    notify('The event is queued again');
    back();
  });
  const drop = useAction(async () => {
    await access.operator.json(path, { method: 'DELETE' });
    notify('The dead letter was dropped');
    back();
  });
  const trail = [{ label: 'Dead letters', to: ['operator', 'dead-letters'] }];
  if (data === undefined)
    return (
      <Page title="Dead letter" trail={trail}>
        <Failure error={error} retry={reload} />
        {error === undefined && <Loading what="the dead letter" />}
      </Page>
    );
  return (
    <Page
      title="Dead letter"
      trail={trail}
      actions={
        <>
          <Button kind="danger" onClick={() => setDropping(true)}>
            Drop…
          </Button>
          <Button kind="primary" busy={replay.busy} onClick={replay.run}>
            Replay
          </Button>
        </>
      }
    >
      <Failure error={replay.error} retry={replay.run} what="It was not replayed." />
      <Panel title="What it is">
        <Facts
          items={[
            [
              'Reason',
              <span key="reason" class="reason">
                {data.reason}
              </span>,
            ],
            ['Queue', data.queue],
            ['Accepted', data.acceptedAt ? <Time key="accepted" at={data.acceptedAt} /> : '–'],
            ['Given up', <Time key="created" at={data.createdAt} />],
            ['Id', <Id key="id" id={data.id} what="dead letter id" whole />],
          ]}
        />
        <p class="small soft">
          A replay queues the event with the id and the time of acceptance that it had. Correct the cause
          first, or it comes back.
        </p>
      </Panel>
      <Panel title="Body" aside="That you read it is in the audit">
        <Code text={JSON.stringify(data.body, null, 2) ?? 'none'} what="body of the dead letter" />
      </Panel>
      {dropping && (
        <Confirm
          title="Drop the dead letter?"
          action="Drop it"
          danger
          busy={drop.busy}
          error={drop.error}
          onConfirm={drop.run}
          onClose={() => setDropping(false)}
        >
          <p>Its event is then lost: it was not delivered to anybody, and cannot be replayed.</p>
        </Confirm>
      )}
    </Page>
  );
}
