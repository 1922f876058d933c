/** `iw exports`: failed events as a file (contract 7). */
import { createWriteStream, existsSync, renameSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream as NodeStream } from 'node:stream/web';
import type { ItemOf, WebhooksClient } from '@identity-webhooks/client';
import type { Command } from 'commander';
import { all, type Begin, examples, findSubscription } from '../command.ts';
import { Failure, usage } from '../failure.ts';
import type { Session } from '../session.ts';
import type { Column } from '../table.ts';
import { time } from '../text.ts';

type Export = ItemOf<'listExports'>;

const ARGUMENT = 'the id or the exact title of a subscription';
const POLL_MS = 1000;
/** A file of a million events takes a while on a slow line. */
const DOWNLOAD_MAX_MS = 3_600_000;

const COLUMNS: readonly Column<Export>[] = [
  { title: 'ID', of: ({ id }) => id },
  { title: 'STATE', of: ({ state }) => state },
  { title: 'STARTED', of: ({ createdAt }) => time(createdAt) },
  { title: 'CHANGED', of: ({ updatedAt }) => time(updatedAt) },
];

interface FileOptions {
  readonly output?: string;
  readonly force?: boolean;
}

export function addExports(program: Command, begin: Begin): void {
  const exports = program
    .command('exports')
    .summary('export failed events to a file')
    .description(
      'Exports of failed events: each event is exported once ever, and one export can complete in 24 hours.',
    );
  examples(
    exports
      .command('start')
      .description(
        'Starts an export and waits for its end; with --output it then downloads the file. Ctrl-C stops waiting; the export goes on.',
      )
      .argument('<subscription>', ARGUMENT)
      .option('-o, --output <file>', 'download to this file; - is standard output')
      .option('--force', 'replace the file if it exists')
      .option('--no-wait', 'start it and do not wait for its end')
      .action(async (given: string, options: FileOptions & { wait: boolean }) => {
        const session = begin();
        const { output, wait } = options;
        if (!wait && output !== undefined)
          throw usage('--output waits for the file, and --no-wait does not wait.');
        checkFile(options);
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const started = await client.call('startExport', { sid });
        const ended = wait ? await watch(session, client, sid, started) : started;
        if (wait && ended.state !== 'completed')
          throw new Failure(
            'failed',
            `The export ended as ${ended.state}.`,
            'Its events are free for another export.',
          );
        if (output === undefined) return show(session, ended);
        await download(session, sid, ended.id, output);
        if (output !== '-') session.done(`The export is in ${output}.`, { ...ended, file: output });
      }),
    'iw exports start "Profile sync" --output failed.ndjson',
    'iw exports start "Profile sync" --no-wait',
  );
  examples(
    exports
      .command('list')
      .description('Lists the exports of a subscription, oldest first.')
      .argument('<subscription>', ARGUMENT)
      .action(async (given: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        const items = await all(client.items('listExports', { sid }));
        session.list({ items, columns: COLUMNS, idOf: ({ id }) => id, none: 'exports' });
      }),
    'iw exports list "Profile sync"',
  );
  examples(
    exports
      .command('show')
      .description('Shows an export.')
      .argument('<subscription>', ARGUMENT)
      .argument('<export>', 'the id of the export')
      .action(async (given: string, exportId: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        show(session, await client.call('getExport', { sid, exportId }));
      }),
    'iw exports show "Profile sync" EXPORT',
  );
  examples(
    exports
      .command('download')
      .description(
        'Downloads the file of a completed export: one event a line. The file has signed tokens, so only you may read it.',
      )
      .argument('<subscription>', ARGUMENT)
      .argument('<export>', 'the id of the export')
      .option('-o, --output <file>', 'the file; default: standard output')
      .option('--force', 'replace the file if it exists')
      .action(async (given: string, exportId: string, options: FileOptions) => {
        const session = begin();
        checkFile(options);
        const sid = await findSubscription(session.customer(), given);
        const { output = '-' } = options;
        await download(session, sid, exportId, output);
        if (output !== '-') session.done(`The export is in ${output}.`, { id: exportId, file: output });
      }),
    'iw exports download "Profile sync" EXPORT --output failed.ndjson',
    'iw exports download "Profile sync" EXPORT | jq .id',
  );
  examples(
    exports
      .command('cancel')
      .description('Cancels an export that runs. Its events are free for another one.')
      .argument('<subscription>', ARGUMENT)
      .argument('<export>', 'the id of the export')
      .action(async (given: string, exportId: string) => {
        const session = begin();
        const client = session.customer();
        const sid = await findSubscription(client, given);
        await client.call('cancelExport', { sid, exportId });
        session.done(`The export ${exportId} is canceled.`, { id: exportId, canceled: true });
      }),
    'iw exports cancel "Profile sync" EXPORT',
  );
}

/** Before the export, which cannot be repeated. */
function checkFile({ output, force }: FileOptions): void {
  if (output !== undefined && output !== '-' && !force && existsSync(output)) {
    throw usage(`${output} exists already.`, 'Choose another file, or replace it with --force.');
  }
}

async function watch(
  session: Session,
  client: WebhooksClient,
  sid: string,
  started: Export,
): Promise<Export> {
  let job = started;
  try {
    while (job.state === 'processing') {
      session.progress('The export runs …');
      await session.wait(POLL_MS);
      job = await client.call('getExport', { sid, exportId: job.id });
    }
    return job;
  } catch (error) {
    session.note(`The export goes on. Get it: iw exports download ${sid} ${job.id}`);
    throw error;
  }
}

/** A file appears when it is complete, under its name. */
async function download(session: Session, sid: string, exportId: string, output: string): Promise<void> {
  const stream = await session.customer(DOWNLOAD_MAX_MS).download(sid, exportId);
  const bytes = Readable.fromWeb(stream as NodeStream<Uint8Array>);
  const again = `Download it again: iw exports download ${sid} ${exportId}`;
  const broken = (error: unknown) => {
    if (session.world.signal.aborted || (error as NodeJS.ErrnoException).syscall !== undefined) throw error;
    throw new Failure('unreachable', 'The download broke off.', again, { cause: error });
  };
  if (output === '-') {
    await pipeline(bytes, session.world.out, { end: false }).catch(broken);
    return;
  }
  const part = `${output}.part`;
  try {
    await pipeline(bytes, createWriteStream(part, { mode: 0o600 })).catch(broken);
    renameSync(part, output);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}

function show(session: Session, job: Export): void {
  session.show(job, job.id, [
    ['Id', job.id],
    ['State', job.state],
    ['Started', time(job.createdAt)],
    ['Changed', time(job.updatedAt)],
  ]);
}
