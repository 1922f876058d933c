/** Units that the platform bills, as the Worker with the meter counts them (worker/metered.ts). */
export interface Units {
  /** Invocations of the Worker: requests and batches of queues. */
  requests: number;
  /** Writes, reads and deletions of messages, one for each 64 KB begun. */
  queueOperations: number;
  d1RowsRead: number;
  d1RowsWritten: number;
  /** Calls and alarms of event stores. */
  objectRequests: number;
  objectRowsRead: number;
  /** Rows, and settings of an alarm. */
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
