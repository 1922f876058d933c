/** The list of audit events, compared with the table of the contract (10.7). */
import { describe, expect, it } from 'vitest';
import { AUDIT_EVENTS, auditLimits } from '../../src/domain/audit.ts';
import { filesOf, read } from './source.ts';

type Event = keyof typeof AUDIT_EVENTS;

const names = Object.keys(AUDIT_EVENTS) as Event[];

function rowOf(event: Event): string {
  const { meaning, actors, outcomes } = AUDIT_EVENTS[event];
  const { ofCustomer, withoutCustomer, inAll } = auditLimits(event);
  const bounds = [
    ...(ofCustomer === undefined ? [] : [`${ofCustomer.toLocaleString('en')} of a customer`]),
    ...(withoutCustomer === undefined ? [] : [`${withoutCustomer} without a customer`]),
    ...(inAll === undefined ? [] : [`${inAll.toLocaleString('en')} in all`]),
  ];
  const quoted = (texts: readonly string[]) => texts.map((text) => `\`${text}\``).join(', ');
  const kept = bounds.length === 0 ? 'all' : bounds.join(', ');
  return `| \`${event}\` | ${meaning} | ${quoted(actors)} | ${quoted(outcomes)} | ${kept} |`;
}

describe('the list of audit events', () => {
  it('the contract has exactly the events of the list, each with all that the list says', () => {
    const contract = read('docs/contract.md');
    const table = contract.slice(contract.indexOf('| `event` | Meaning |')).split('\n\n')[0] ?? '';
    expect(table.split('\n').slice(2)).toEqual(names.map(rowOf));
  });

  it('every event of the list is written somewhere in src', () => {
    const source = filesOf('src/**/*.ts')
      .filter((file) => file !== 'src/domain/audit.ts')
      .map(read)
      .join('\n');
    expect(names.filter((name) => !source.includes(`'${name}'`))).toEqual([]);
  });
});
