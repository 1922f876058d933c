/** What a run of Schemathesis did, by its report of one JSON document in each line. */
import { readFileSync } from 'node:fs';

/** How many calls of one operation the service answered in which way. */
export interface Tally {
  /** Calls that the document allows. */
  accepted: number;
  refused: number;
  /** 429 */
  putOff: number;
  /** Calls that the document forbids, and that the service refused. */
  forbidden: number;
  /** Calls that the document forbids, and that the service accepted nevertheless. */
  tolerated: number;
  /** 5xx, or no answer. */
  broken: number;
}

interface Scenario {
  readonly recorder?: {
    readonly cases?: Readonly<Record<string, { readonly value: Case }>>;
    readonly interactions?: Readonly<
      Record<string, { readonly response?: { readonly status_code: number } }>
    >;
  };
}

interface Case {
  readonly method: string;
  /** As in the document: `/{cid}/webhooks/events`. */
  readonly path: string;
  readonly meta?: { readonly generation?: { readonly mode?: 'positive' | 'negative' } };
}

/** @returns the tally of each operation that was called, by its method and path: `POST /{cid}/webhooks/events` */
export function talliesOf(report: string): Map<string, Tally> {
  const tallies = new Map<string, Tally>();
  for (const line of readFileSync(report, 'utf8').split('\n')) {
    if (line === '') continue;
    const { ScenarioFinished: scenario } = JSON.parse(line) as { ScenarioFinished?: Scenario };
    for (const [id, { value }] of Object.entries(scenario?.recorder?.cases ?? {})) {
      const interaction = scenario?.recorder?.interactions?.[id];
      if (interaction === undefined) continue;
      const name = `${value.method} ${value.path}`;
      const tally = tallies.get(name) ?? newTally();
      tallies.set(name, tally);
      tally[kindOf(value, interaction.response?.status_code)]++;
    }
  }
  return tallies;
}

export const newTally = (): Tally => ({
  accepted: 0,
  refused: 0,
  putOff: 0,
  forbidden: 0,
  tolerated: 0,
  broken: 0,
});

function kindOf({ meta }: Case, status: number | undefined): keyof Tally {
  if (status === undefined || status >= 500) return 'broken';
  if (status === 429) return 'putOff';
  const isAccepted = status < 400;
  if (meta?.generation?.mode === 'negative') return isAccepted ? 'tolerated' : 'forbidden';
  return isAccepted ? 'accepted' : 'refused';
}
