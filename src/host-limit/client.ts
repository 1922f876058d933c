/** How the rest of the service asks for places at a host. */
import { describeError, logWarn } from '../log.ts';
import type { Answer, HostLimitRpc, Visit } from './rpc.ts';
import { LIMIT_ANSWERS_WITHIN_MS, WAIT_MIN_MS } from './tuning.ts';

/** The host of an endpoint, with its port. Other spellings of a name are the same host. */
export function hostOf(endpoint: string): string {
  return URL.parse(endpoint)?.host.replace(/\.(?=:|$)/, '') ?? endpoint;
}

/**
 * The limit of a host for a customer.
 * @returns a call that never rejects: while the object is away, a holder gets one place. It makes at most one call, because a
 *   repeat would take places twice
 */
export function openHostLimit(
  namespace: DurableObjectNamespace,
  customerId: string,
  host: string,
): HostLimitRpc {
  return {
    visit: async (visit) => {
      try {
        const object = namespace.get(
          namespace.idFromName(`${customerId} ${host}`),
        ) as unknown as HostLimitRpc;
        return await inTime(object.visit(visit));
      } catch (error) {
        logWarn('host limit not asked', { customerId, host, error: describeError(error) });
        return withoutLimit(visit);
      }
    },
  };
}

function withoutLimit({ want }: Visit): Answer {
  return { granted: Math.min(1, want), waitMs: WAIT_MIN_MS, isAnswering: false, isGrowing: false };
}

async function inTime(call: Promise<Answer>): Promise<Answer> {
  let timer: number | null = null;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error('the limit of the host did not answer in time')),
      LIMIT_ANSWERS_WITHIN_MS,
    );
  });
  // A call that fails after its time is over concerns nobody.
  call.catch(() => undefined);
  try {
    return await Promise.race([call, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
