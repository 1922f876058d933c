/** What the platform bills, as counted by the metered Worker (tools/bench/worker/metered.ts). */
export interface Units {
  /** Invocations of the Worker: requests and batches of queues. */
  requests: number;
  /** Messages written, read and deleted, each per 64 KB begun. */
  queueOperations: number;
  d1RowsRead: number;
  d1RowsWritten: number;
  /** Calls of event stores, and their alarms. */
  objectRequests: number;
  objectRowsRead: number;
  /** Setting an alarm is one. */
  objectRowsWritten: number;
  alarms: number;
  logLines: number;
}

export function noUnits(): Units {
  return {
    requests: 0,
    queueOperations: 0,
    d1RowsRead: 0,
    d1RowsWritten: 0,
    objectRequests: 0,
    objectRowsRead: 0,
    objectRowsWritten: 0,
    alarms: 0,
    logLines: 0,
  };
}
