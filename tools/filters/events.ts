/** Events that are as large as an event can be, each large in another way. */
import { checkPublishedEvent, type IdentityEvent } from '../../src/domain/event.ts';
import { EVENT_MAX_BYTES } from '../../src/domain/limits.ts';
import { eventsClaim } from '../../src/domain/security-event-token.ts';

/** The names of all attributes of an event, by what is remarkable about them. */
const ATTRIBUTES: Readonly<Record<string, readonly string[]>> = {
  'many equal letters': many(500, () => 'a'.repeat(115)),
  'long equal letters': many(290, () => 'a'.repeat(200)),
  'letters with an end': many(290, (index) => `${'a'.repeat(190)}!${index}`),
  'different words': many(500, (index) => `attribute.${index}.${'word '.repeat(19)}`),
  'different ends': many(290, (index) => `${'ab'.repeat(96)}${index}`),
  accents: many(290, (index) => `${'é'.repeat(96)}${index}`),
  emoji: many(70, (index) => `${'😀'.repeat(195)}${index}`),
  escapes: many(290, (index) => `${'"\\'.repeat(48)}${index}`),
  brackets: many(290, (index) => `${'('.repeat(190)}${index}`),
  dates: many(500, (index) => `2024-02-29T12:00:00.${'1'.repeat(90)}Z${index}`),
  uris: many(290, (index) => `https://user@example.com/${'%41:@/'.repeat(27)}?#${index}`),
  'short names': many(500, (index) => `n${index}`),
};

function many(count: number, name: (index: number) => string): string[] {
  return Array.from({ length: count }, (_, index) => name(index));
}

const SUB = '726087ec-35df-4041-aec8-c11ecc208efa';

export interface LargeEvent {
  readonly name: string;
  readonly claim: Record<string, object>;
}

/** @throws Error when an event is not legal */
export function largeEvents(): LargeEvent[] {
  return Object.entries(ATTRIBUTES).map(([name, attributes]) => {
    const text = attributes[0] ?? '';
    const event = {
      type: 'entityUpdated',
      captureApplicationId: [...text].slice(0, 64).join(''),
      captureClientId: [...text].slice(0, 64).join(''),
      entityType: [...text].slice(0, 64).join(''),
      sub: SUB,
      globalSub: [...text.repeat(5)].slice(0, 500).join(''),
    };
    const checked = checkPublishedEvent({ ...event, attributes: fitting(attributes, event) }, 0, SUB);
    if (!checked.ok) throw new Error(`${name}: ${JSON.stringify(checked.faults)}`);
    return { name, claim: eventsClaim({ ...checked.event, id: SUB } as IdentityEvent, 'example.com') };
  });
}

/** As many attributes as an event has room for. */
function fitting(attributes: readonly string[], event: object): string[] {
  const room = EVENT_MAX_BYTES - bytes(event) - '"attributes":[],'.length;
  let used = 0;
  return attributes.filter((attribute) => {
    used += bytes(attribute) + 1;
    return used <= room;
  });
}

function bytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
