/** Failed events as a file. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { bytes, counted } from '../lib/format.ts';
import { saveAs } from '../lib/save.ts';
import { useAction, useLoad } from '../state/load.ts';
import { notify } from '../state/notices.ts';
import { customer } from '../state/session.ts';
import {
  Badge,
  Button,
  Countdown,
  Empty,
  Failure,
  Loading,
  Panel,
  Table,
  Time,
  type Tone,
} from '../ui/parts.tsx';
import { SubscriptionPage } from './subscription-page.tsx';

type Job = components['schemas']['Export'];

const WATCH_MS = 1_500;
const RESTING_MS = 20_000;
const DAY_MS = 86_400_000;

const STATES: Readonly<Record<Job['state'], { readonly word: string; readonly tone: Tone }>> = {
  processing: { word: 'Under way', tone: 'run' },
  completed: { word: 'Completed', tone: 'ok' },
  canceled: { word: 'Canceled', tone: 'off' },
  failed: { word: 'Failed', tone: 'bad' },
};

export function Exports({ sid }: { readonly sid: string }): JSX.Element {
  return (
    <SubscriptionPage sid={sid} tab="exports">
      {() => <Body sid={sid} />}
    </SubscriptionPage>
  );
}

function Body({ sid }: { readonly sid: string }): JSX.Element {
  const { api, at, may } = customer();
  const path = at('subscriptions', sid, 'exports');
  const jobs = useLoad(
    async (signal) =>
      (await api.json<components['schemas']['ExportList']>(path, { signal }))._embedded.exports,
    [path],
    (list) => (list.some(({ state }) => state === 'processing') ? WATCH_MS : RESTING_MS),
  );
  const summary = useLoad(
    (signal) => api.json<components['schemas']['Summary']>(at('subscriptions', sid, 'summary'), { signal }),
    [sid, jobs.data?.length],
  );
  const [notBefore, setNotBefore] = useState<string | undefined>();
  const start = useAction(async () => {
    try {
      await api.json(path, { method: 'POST' });
      jobs.reload();
    } catch (error) {
      const after = (error as { retryAfterSeconds?: number }).retryAfterSeconds;
      if (after !== undefined) setNotBefore(new Date(Date.now() + after * 1_000).toISOString());
      throw error;
    }
  });
  const cancel = useAction(async (id: string) => {
    await api.json(`${path}/${id}`, { method: 'DELETE' });
    jobs.reload();
  });
  const running = jobs.data?.find(({ state }) => state === 'processing');
  const completed = jobs.data?.findLast(({ state }) => state === 'completed');
  const exportable = summary.data?.exportable;
  return (
    <>
      <Panel title="Export failed events">
        <p class="soft">
          A file with one failed event on each line, as JSON. An event is exported once: a later file has only
          what failed since.
        </p>
        {exportable !== undefined && (
          <p>
            {exportable === 0 ? (
              'There is no failed event that is not in an earlier file.'
            ) : (
              <>
                <strong>{counted(exportable, 'failed event')}</strong> to export.
              </>
            )}
          </p>
        )}
        {running !== undefined ? (
          <div role="status">
            <p>
              <Badge tone="run">An export is under way</Badge> since <Time at={running.createdAt} />
            </p>
            <progress aria-label="An export is under way" />
            {may('DELETE', 'subscriptions', sid, 'exports', running.id) && (
              <div class="actions">
                <Button busy={cancel.busy} onClick={() => cancel.run(running.id)}>
                  Cancel
                </Button>
              </div>
            )}
          </div>
        ) : (
          may('POST', 'subscriptions', sid, 'exports') && (
            <div class="actions">
              <Button kind="primary" busy={start.busy} onClick={start.run}>
                Start an export
              </Button>
            </div>
          )
        )}
        {notBefore !== undefined && Date.parse(notBefore) > Date.now() ? (
          <p>
            The next export may start <Countdown until={notBefore} /> (<Time at={notBefore} />
            ).
          </p>
        ) : (
          completed !== undefined && (
            <p class="small soft">
              One export may complete a day, unless your operator has set another interval. The last one
              completed <Time at={completed.updatedAt} />, so the next may start{' '}
              <Time at={Date.parse(completed.updatedAt) + DAY_MS} />.
            </p>
          )
        )}
        {start.error?.status !== 429 && <Failure error={start.error} />}
        <Failure error={cancel.error} />
      </Panel>
      <Panel title="Exports of the last 7 days">
        <Failure error={jobs.error} retry={jobs.reload} what="The exports could not be read." />
        {jobs.data === undefined && jobs.error === undefined && <Loading what="the exports" />}
        {jobs.data?.length === 0 && <Empty title="No export yet" />}
        {jobs.data !== undefined && jobs.data.length > 0 && (
          <Table
            caption="Exports, newest first"
            rows={[...jobs.data].reverse()}
            keyOf={({ id }) => id}
            columns={[
              { title: 'Began', main: true, cell: ({ createdAt }) => <Time at={createdAt} /> },
              {
                title: 'State',
                cell: ({ state }) => <Badge tone={STATES[state].tone}>{STATES[state].word}</Badge>,
              },
              { title: 'Changed', cell: ({ updatedAt }) => <Time at={updatedAt} /> },
              {
                title: '',
                cell: (job) =>
                  job.state === 'completed' && <Download path={`${path}/${job.id}/download`} id={job.id} />,
              },
            ]}
          />
        )}
      </Panel>
    </>
  );
}

function Download({ path, id }: { readonly path: string; readonly id: string }): JSX.Element {
  const { api } = customer();
  const [loaded, setLoaded] = useState<number | undefined>();
  const { run, busy, error } = useAction(async () => {
    try {
      const done = await saveAs(`${id}.ndjson`, () => api.send(path), setLoaded);
      if (done) notify('The export was saved');
    } finally {
      setLoaded(undefined);
    }
  });
  return (
    <>
      <Button busy={busy} onClick={run} label="Download the export">
        {loaded === undefined ? 'Download' : bytes(loaded)}
      </Button>
      <Failure error={error} />
    </>
  );
}
