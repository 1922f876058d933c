/** What waits in the queues, as the platform counts it: about, and some seconds old. */
import { logWarn } from '../log.ts';
import { QUEUES } from '../outbound/queues.ts';

interface ReadBacklogsNeeds {
  /** The bindings of the queues, of which this asks for metrics alone. */
  readonly meters: Readonly<Record<keyof typeof QUEUES, Pick<Queue<unknown>, 'metrics'>>>;
}

/** What waits in one queue. */
export interface Backlog {
  /** The name of the queue in this project, without the prefix of the deployment. */
  readonly name: string;
  readonly messages: number;
  readonly bytes: number;
  /** When the oldest message was sent, ms; absent when the platform does not say. */
  readonly oldestAt?: number;
}

/** A queue that does not answer must not keep the figures from a reader. */
const PATIENCE_MS = 2000;

/** @returns a backlog for each queue whose metrics can be read; the log has a line for each other one */
export async function readBacklogs({ meters }: ReadBacklogsNeeds): Promise<Backlog[]> {
  const names = Object.keys(QUEUES) as (keyof typeof QUEUES)[];
  const read = await Promise.all(names.map((name) => readOne(QUEUES[name], meters[name])));
  return read.filter((backlog) => backlog !== undefined);
}

async function readOne(name: string, queue: Pick<Queue<unknown>, 'metrics'>): Promise<Backlog | undefined> {
  try {
    const metrics = await Promise.race([queue.metrics(), scheduler.wait(PATIENCE_MS)]);
    if (metrics === undefined) throw new Error(`no answer within ${PATIENCE_MS} ms`);
    const { backlogCount, backlogBytes, oldestMessageTimestamp } = metrics;
    const oldestAt =
      oldestMessageTimestamp === undefined ? Number.NaN : Number(new Date(oldestMessageTimestamp));
    return {
      name,
      messages: counted(backlogCount),
      bytes: counted(backlogBytes),
      ...(oldestAt > 0 ? { oldestAt } : {}),
    };
  } catch (error) {
    logWarn('backlog not read', { queue: name, reason: String(error) });
    return undefined;
  }
}

/** @throws Error for what is no count */
function counted(value: unknown): number {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new Error('no count');
  return Math.floor(value);
}
