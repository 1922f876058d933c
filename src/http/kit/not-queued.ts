/** What publishing answers, and logs, when the queue is away. */
import type { ApiError } from '../../domain/errors.ts';
import { logError } from '../../log.ts';

export const NOT_QUEUED = {
  code: 'unavailable',
  details: 'The queue is briefly away; repeat with the same ids',
  retryAfterSeconds: 2,
} as const satisfies ApiError;

export function logNotQueued(
  error: unknown,
  names: { customerId: string; requestId: string; callerRequestId: string | undefined },
): void {
  logError('publish not queued', error, names);
}
