/**
 * Where the data of this deployment is: a deployment is a cell, and each of its Durable Objects is opened here, in one place.
 *
 * The id of an object derives from the class, from its name and from the jurisdiction. With another name, or another
 * jurisdiction, every subscription gets a new and empty object, and what its old object has is out of reach. So neither ever
 * changes for a deployment that has subscriptions: docs/residency.md. Why it is so: docs/decisions/0033-a-deployment-is-a-cell.md.
 */

/** The jurisdictions that D1, queues and Durable Objects all have. */
export const JURISDICTIONS = ['eu', 'us', 'fedramp'] as const;

/** Where an object may be asked to be. A hint counts when the object is created, and never again. */
export const LOCATION_HINTS = [
  'wnam',
  'enam',
  'sam',
  'weur',
  'eeur',
  'apac',
  'apac-ne',
  'apac-se',
  'oc',
  'afr',
  'me',
] as const;

/** The place of a deployment's objects (contract 10.6). */
export interface Cell {
  /** They store and compute there alone. Absent: anywhere. */
  readonly jurisdiction?: (typeof JURISDICTIONS)[number];
  /** Absent: each is created near the call that creates it. */
  readonly locationHint?: (typeof LOCATION_HINTS)[number];
}

/** A reference to the object of this name, in the cell. The object is created by its first call. */
export function openObject(namespace: DurableObjectNamespace, name: string, cell: Cell): unknown {
  const { jurisdiction, locationHint } = cell;
  const within = jurisdiction === undefined ? namespace : namespace.jurisdiction(jurisdiction);
  const id = within.idFromName(name);
  return locationHint === undefined ? within.get(id) : within.get(id, { locationHint });
}
