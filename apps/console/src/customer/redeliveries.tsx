/** Sends failed events again, all of them or those of a span: first a preview, then the progress. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { faultsOf } from '../lib/errors.ts';
import { count, counted, fromLocalInput, toLocalInput } from '../lib/format.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { customer } from '../state/session.ts';
import {
  Badge,
  Button,
  Choice,
  Empty,
  Failure,
  Field,
  Loading,
  Notice,
  Panel,
  Progress,
  Table,
  Time,
} from '../ui/parts.tsx';
import { SubscriptionPage } from './subscription-page.tsx';
import type { Subscription } from './words.tsx';

type Job = components['schemas']['Redelivery'];
type Preview = components['schemas']['RedeliveryPreview'];
type Span = { readonly since?: string; readonly until?: string };

const WATCH_MS = 2_000;
const RESTING_MS = 15_000;
const HOUR_MS = 3_600_000;

export function Redeliveries({ sid }: { readonly sid: string }): JSX.Element {
  return (
    <SubscriptionPage sid={sid} tab="redeliveries">
      {({ subscription, test }) => <Body subscription={subscription} test={test} />}
    </SubscriptionPage>
  );
}

function Body(props: { readonly subscription: Subscription; readonly test: () => void }): JSX.Element {
  const { subscription, test } = props;
  const { api, at, may } = customer();
  const path = at('subscriptions', subscription.id, 'redeliveries');
  const jobs = useLoad(
    async (signal) =>
      (await api.json<components['schemas']['RedeliveryList']>(path, { signal }))._embedded.redeliveries,
    [path],
    (list) => (list.some(({ state }) => state === 'processing') ? WATCH_MS : RESTING_MS),
  );
  const running = jobs.data?.find(({ state }) => state === 'processing');
  return (
    <>
      {may('POST', 'subscriptions', subscription.id, 'redeliveries') &&
        (subscription.enabled ? (
          running === undefined && <Start path={path} subscription={subscription} onStarted={jobs.reload} />
        ) : (
          <Notice>Enable the subscription to send its failed events again.</Notice>
        ))}
      {running !== undefined && (
        <Running
          job={running}
          path={path}
          reload={jobs.reload}
          test={subscription.health.state === 'failing' ? test : undefined}
        />
      )}
      <Panel title="Earlier">
        <Failure error={jobs.error} retry={jobs.reload} what="The list could not be read." />
        {jobs.data === undefined ? (
          jobs.error === undefined && <Loading what="earlier redeliveries" />
        ) : (
          <Earlier jobs={jobs.data.filter(({ state }) => state !== 'processing').reverse()} />
        )}
      </Panel>
    </>
  );
}

type Choices = 'all' | 'hour' | 'day' | 'span';

function Start(props: {
  readonly path: string;
  readonly subscription: Subscription;
  readonly onStarted: () => void;
}): JSX.Element {
  const { path, subscription, onStarted } = props;
  const { api } = customer();
  const [choice, setChoice] = useState<Choices>('all');
  const [span, setSpan] = useState<Span>({});
  const [preview, setPreview] = useState<{ readonly of: Span; readonly answer: Preview } | undefined>();
  const wanted = (): Span => {
    if (choice === 'span') return span;
    if (choice === 'all') return {};
    return { since: new Date(Date.now() - (choice === 'hour' ? HOUR_MS : 24 * HOUR_MS)).toISOString() };
  };
  const look = useAction(async () => {
    const of = wanted();
    const answer = await api.json<Preview>(path, { method: 'POST', body: { ...of, dryRun: true } });
    // A service of an earlier version starts the job instead (contract 10.3).
    if (answer.dryRun === true) setPreview({ of, answer });
    else onStarted();
  });
  const start = useAction(async () => {
    if (preview === undefined) return;
    await api.json(path, { method: 'POST', body: preview.of });
    notify('Failed events are sent again, the oldest first');
    onStarted();
  });
  const change = (next: Span) => {
    setSpan(next);
    setPreview(undefined);
  };
  const time = (name: 'since' | 'until', label: string) => (
    <Field label={label} faults={faultsOf(look.error, name)}>
      {(attributes) => (
        <input
          {...attributes}
          type="datetime-local"
          step="1"
          value={toLocalInput(span[name])}
          onChange={(event) => {
            const value = fromLocalInput(event.currentTarget.value);
            const { [name]: _, ...rest } = span;
            change(value === undefined ? rest : { ...rest, [name]: value });
          }}
        />
      )}
    </Field>
  );
  return (
    <Panel title="Send failed events again">
      <p class="soft">
        Each event is sent with the token that it had, the oldest first, at a pace that your listener can keep
        up with.
      </p>
      <Choice
        label="Which failed events"
        value={choice}
        options={[
          ['all', 'All'],
          ['hour', 'Last hour'],
          ['day', 'Last day'],
          ['span', 'A span'],
        ]}
        onChange={(value) => {
          setChoice(value);
          setPreview(undefined);
        }}
      />
      {choice === 'span' && (
        <div class="filters">
          {time('since', 'Accepted from')}
          {time('until', 'Accepted until')}
        </div>
      )}
      <div class="actions">
        <Button kind={preview === undefined ? 'primary' : 'plain'} busy={look.busy} onClick={look.run}>
          {preview === undefined ? 'See what would be sent' : 'Look again'}
        </Button>
      </div>
      <Failure error={look.error} />
      {preview !== undefined && (
        <div role="status" class="preview">
          <PreviewText answer={preview.answer} />
          {preview.answer.total > 0 && (
            <>
              {subscription.health.state === 'failing' && (
                <Notice tone="warn">
                  The endpoint is failing. Until it takes an event or a test, only one event goes out now and
                  then. When your listener works again, send a test first.
                </Notice>
              )}
              <div class="actions">
                <Button kind="primary" busy={start.busy} onClick={start.run}>
                  {`Send ${preview.answer.exact ? '' : 'at least '}${counted(preview.answer.total, 'event')} again`}
                </Button>
              </div>
            </>
          )}
          <Failure error={start.error} />
        </div>
      )}
    </Panel>
  );
}

function PreviewText({ answer }: { readonly answer: Preview }): JSX.Element {
  const { total, exact, oldest, newest, leftOut } = answer;
  const left = leftOut.notKept + leftOut.notVerified;
  if (total === 0)
    return (
      <p>
        <strong>No failed event</strong> here can be sent again.
        {left > 0 &&
          ` ${counted(left, 'event is', 'events are')} left out: the token was not kept, or the endpoint was not verified.`}
      </p>
    );
  return (
    <>
      <p>
        <strong>
          {exact ? '' : 'At least '}
          {counted(total, 'event')}
        </strong>
        , the oldest first
        {oldest !== undefined && newest !== undefined && (
          <>
            : accepted from <Time at={oldest.createdAt} /> to <Time at={newest.createdAt} />
          </>
        )}
        .
      </p>
      {leftOut.notKept > 0 && (
        <p>
          {counted(leftOut.notKept, 'event is', 'events are')} left out: there was no room to keep the token.
        </p>
      )}
      {leftOut.notVerified > 0 && (
        <p>
          {counted(leftOut.notVerified, 'event is', 'events are')} left out: the endpoint was never verified.
        </p>
      )}
    </>
  );
}

function Running(props: {
  readonly job: Job;
  readonly path: string;
  readonly reload: () => void;
  /** Opens the dialog that sends a test, where the endpoint is failing. */
  readonly test: (() => void) | undefined;
}): JSX.Element {
  const { job, path, reload, test } = props;
  const { api, may } = customer();
  const cancel = useAction(async () => {
    await api.json(`${path}/${job.id}`, { method: 'DELETE' });
    notify('The redelivery is canceled. Events that were asked for already go on.');
    reload();
  });
  const ended = job.succeeded + job.failed;
  return (
    <Panel title="Sending again" aside={<Badge tone="run">Under way</Badge>}>
      <Progress label="Events that have ended" value={ended} max={job.total} />
      <p role="status">
        {count(ended)} of {counted(job.total, 'event')} ended: {count(job.succeeded)} delivered,{' '}
        {count(job.failed)} failed. {count(job.redelivered - ended)} under way.
      </p>
      {test !== undefined && (
        <Notice tone="warn">
          <p>
            Held, because the endpoint is failing: only one event goes out now and then, to find out whether
            it answers. Send a test when it works again: its success sends the others.
          </p>
          {may('POST', 'subscriptions', 'x', 'test') && <Button onClick={test}>Send a test…</Button>}
        </Notice>
      )}
      {may('DELETE', 'subscriptions', 'x', 'redeliveries', job.id) && (
        <div class="actions">
          <Button busy={cancel.busy} onClick={cancel.run}>
            Cancel
          </Button>
        </div>
      )}
      <Failure error={cancel.error} />
    </Panel>
  );
}

function Earlier({ jobs }: { readonly jobs: readonly Job[] }): JSX.Element {
  if (jobs.length === 0)
    return (
      <Empty title="None in the last 7 days">What you send again is listed here, with how it ended.</Empty>
    );
  return (
    <Table
      caption="Earlier redeliveries, newest first"
      rows={jobs}
      keyOf={({ id }) => id}
      columns={[
        { title: 'Began', main: true, cell: ({ createdAt }) => <Time at={createdAt} /> },
        {
          title: 'State',
          cell: ({ state }) => (
            <Badge tone={state === 'completed' ? 'ok' : 'off'}>
              {state === 'completed' ? 'Completed' : 'Canceled'}
            </Badge>
          ),
        },
        { title: 'Events', number: true, cell: ({ total }) => count(total) },
        { title: 'Delivered', number: true, cell: ({ succeeded }) => count(succeeded) },
        { title: 'Failed again', number: true, cell: ({ failed }) => count(failed) },
        { title: 'Ended', cell: ({ updatedAt }) => <Time at={updatedAt} /> },
      ]}
    />
  );
}
