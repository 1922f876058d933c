/** The operator's screens, by address. */
import type { JSX } from 'preact';
import { Nowhere } from '../customer/screens.tsx';
import { match } from '../lib/routes.ts';
import { route } from '../state/navigation.ts';
import { Audit } from './audit.tsx';
import { Customer } from './customer.tsx';
import { Customers } from './customers.tsx';
import { DeadLetter, DeadLetters } from './dead-letters.tsx';
import { Endpoints } from './endpoints.tsx';
import { Notices } from './notices.tsx';
import { OperatorOverview } from './overview.tsx';

const SCREENS: readonly (readonly [string, (named: Readonly<Record<string, string>>) => JSX.Element])[] = [
  ['operator', () => <OperatorOverview />],
  ['operator/customers', () => <Customers />],
  ['operator/customers/:cid', ({ cid = '' }) => <Customer key={cid} cid={cid} />],
  ['operator/endpoints', () => <Endpoints />],
  ['operator/dead-letters', () => <DeadLetters />],
  ['operator/dead-letters/:id', ({ id = '' }) => <DeadLetter key={id} id={id} />],
  ['operator/notices', () => <Notices />],
  ['operator/audit', () => <Audit />],
];

export function OperatorScreens(): JSX.Element {
  const { path } = route.value;
  for (const [pattern, screen] of SCREENS) {
    const named = match(pattern, path);
    if (named !== undefined) return screen(named);
  }
  return <Nowhere home={['operator']} />;
}
