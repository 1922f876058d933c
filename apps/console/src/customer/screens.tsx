/** The customer's screens, by address. */
import type { JSX } from 'preact';
import { hrefOf, match } from '../lib/routes.ts';
import { route } from '../state/navigation.ts';
import { Empty, Page } from '../ui/parts.tsx';
import { EventScreen } from './event.tsx';
import { Events } from './events.tsx';
import { Exports } from './exports.tsx';
import { Find } from './find.tsx';
import { Keys } from './keys.tsx';
import { Overview } from './overview.tsx';
import { Redeliveries } from './redeliveries.tsx';
import { Subscription } from './subscription.tsx';
import { EditSubscription, NewSubscription } from './subscription-form.tsx';
import { Subscriptions } from './subscriptions.tsx';

const SCREENS: readonly (readonly [string, (named: Readonly<Record<string, string>>) => JSX.Element])[] = [
  ['', () => <Overview />],
  ['sign-in', () => <Overview />],
  ['subscriptions', () => <Subscriptions />],
  ['subscriptions/new', () => <NewSubscription />],
  ['subscriptions/:sid', ({ sid = '' }) => <Subscription key={sid} sid={sid} />],
  ['subscriptions/:sid/edit', ({ sid = '' }) => <EditSubscription key={sid} sid={sid} />],
  ['subscriptions/:sid/events', ({ sid = '' }) => <Events key={sid} sid={sid} />],
  [
    'subscriptions/:sid/events/:eid',
    ({ sid = '', eid = '' }) => <EventScreen key={sid + eid} sid={sid} eid={eid} />,
  ],
  ['subscriptions/:sid/redeliveries', ({ sid = '' }) => <Redeliveries key={sid} sid={sid} />],
  ['subscriptions/:sid/exports', ({ sid = '' }) => <Exports key={sid} sid={sid} />],
  ['find', () => <Find />],
  ['keys', () => <Keys />],
];

export function CustomerScreens(): JSX.Element {
  const { path } = route.value;
  for (const [pattern, screen] of SCREENS) {
    const named = match(pattern, path);
    if (named !== undefined) return screen(named);
  }
  return <Nowhere home={[]} />;
}

export function Nowhere({ home }: { readonly home: readonly string[] }): JSX.Element {
  return (
    <Page title="No such page">
      <Empty title="There is nothing at this address.">
        <a href={hrefOf(home)}>Go to the overview</a>
      </Empty>
    </Page>
  );
}
