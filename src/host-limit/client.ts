/** How the rest of the service asks for places at a host. */
import { type Cell, openObject } from '../cell.ts';
import { HOST_MAX_CHARACTERS } from '../domain/limits.ts';
import { describeError, logWarn } from '../log.ts';
import type { Answer, HostLimitRpc } from './rpc.ts';
import { LIMIT_ANSWERS_WITHIN_MS, OVERLOADED_WAIT_MS, WAIT_MIN_MS } from './tuning.ts';

/**
 * The host of an endpoint, with its port. Other spellings of a name are the same host. A name that is longer than DNS permits is cut:
 * it leads nowhere, and a message names no more.
 */
export function hostOf(endpoint: string): string {
  const host = URL.parse(endpoint)?.host.replace(/\.(?=:|$)/, '') ?? endpoint;
  return host.slice(0, HOST_MAX_CHARACTERS);
}

/**
 * The limit of a host for a customer.
 * @returns a call that never rejects, and never makes a second visit that might take places twice. While the object is away, a holder
 *   gets one place. While it has too much to do, a holder gets none, and waits: more requests are not what helps then
 */
export function openHostLimit(
  namespace: DurableObjectNamespace,
  customerId: string,
  host: string,
  cell: Cell,
): HostLimitRpc {
  const open = () => openObject(namespace, `${customerId} ${host}`, cell) as HostLimitRpc;
  return {
    visit: async (visit) => {
      try {
        const call = open().visit(visit);
        if (await isInTime(call)) return await call;
        // Places that come too late go back.
        call
          .then(({ granted }) => {
            if (granted === 0) return;
            return open().visit({ ...visit, want: 0, left: granted, succeeded: 0, failedStarts: [] });
          })
          .catch(() => undefined);
        return without(0, OVERLOADED_WAIT_MS);
      } catch (error) {
        logWarn('host limit not asked', { customerId, host, error: describeError(error) });
        const isOverloaded = error instanceof Error && Reflect.get(error, 'overloaded') === true;
        return isOverloaded ? without(0, OVERLOADED_WAIT_MS) : without(Math.min(1, visit.want), WAIT_MIN_MS);
      }
    },
  };
}

/** An answer in the place of the object's. The wait has a random part, so that not all come back together. */
function without(granted: number, waitMs: number): Answer {
  return { granted, waitMs: Math.round(waitMs * (1 + Math.random())), isAnswering: false, isGrowing: false };
}

async function isInTime(call: Promise<unknown>): Promise<boolean> {
  let timer: number | null = null;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), LIMIT_ANSWERS_WITHIN_MS);
  });
  try {
    return await Promise.race([call.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
