/** Whether the webhooks work, what failed, and what to do about it. */
import type { ComponentChildren, JSX } from 'preact';
import { boundOf } from '../lib/chart.ts';
import {
  type Advice,
  adviceOf,
  type Figures,
  type FiguresOfOne,
  failedLeft,
  wasTried,
} from '../lib/figures.ts';
import { count, counted, duration, percent } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { useLoad } from '../state/load.ts';
import { route, setQuery } from '../state/navigation.ts';
import { customer } from '../state/session.ts';
import { HourChart } from '../ui/charts.tsx';
import { Choice, Empty, Failure, LinkButton, Loading, Page, Panel, Table, Time } from '../ui/parts.tsx';
import { loadOverview } from './load-figures.ts';
import { HealthBadge } from './words.tsx';

const REFRESH_MS = 30_000;
const TROUBLED_MAX = 10;

export function Overview(): JSX.Element {
  const hours = route.value.query.get('hours') === '168' ? 168 : 24;
  const span = hours === 24 ? 'in 24 hours' : 'in 7 days';
  const { data, error, reload } = useLoad((signal) => loadOverview(hours, signal), [hours], REFRESH_MS);
  return (
    <Page
      title="Overview"
      actions={
        <Choice
          label="Time shown"
          value={String(hours)}
          options={[
            ['24', '24 hours'],
            ['168', '7 days'],
          ]}
          onChange={(value) => setQuery({ hours: value === '24' ? undefined : value })}
        />
      }
    >
      <Failure error={error} retry={reload} what="The figures could not be read." />
      {data === undefined ? (
        error === undefined && <Loading what="the figures" />
      ) : (
        <>
          <Tiles figures={data} span={span} />
          {isCountedTwice(data) && <p class="small soft">{COUNTED_TWICE}</p>}
          <Next advice={adviceOf(data.subscriptions)} />
          {data.subscriptions.length > 0 && (
            <Panel title="Deliveries by hour" aside={!data.exact && 'Some hours are still being counted'}>
              <HourChart hours={data.hours} label={`Delivered and failed events by hour, ${span}`} />
            </Panel>
          )}
          <Troubled figures={data} />
        </>
      )}
    </Page>
  );
}

const COUNTED_TWICE =
  'Figures count what happened: an event that failed, was sent again and was delivered is in both.';

const isCountedTwice = ({ failed, subscriptions }: Figures) => failed > (failedLeft(subscriptions) ?? failed);

/** @param left how many events are failed now, whenever they failed */
export function failedHint(left: number): string {
  if (left === 0) return 'None of them is failed now';
  return `${count(left)} ${left === 1 ? 'is' : 'are'} failed now`;
}

function Tiles({ figures, span }: { readonly figures: Figures; readonly span: string }): JSX.Element {
  const { delivered, failed, waiting, oldestWaitingAt, subscriptions } = figures;
  const enabled = subscriptions.filter((one) => one.enabled);
  const troubled = enabled.filter(({ health }) => health.state !== 'healthy').length;
  const left = failedLeft(subscriptions);
  return (
    <ul class="tiles" aria-label="Figures">
      <Tile label={`Delivered ${span}`} value={count(delivered)}>
        {delivered + failed > 0 && (
          <span title={COUNTED_TWICE}>{percent(delivered, delivered + failed)} of those that ended</span>
        )}
      </Tile>
      <Tile label={`Failed ${span}`} value={count(failed)} tone={failed > 0 ? 'bad' : undefined}>
        {failed === 0 ? (
          'Nothing was given up'
        ) : (
          <span title={COUNTED_TWICE}>
            {left === undefined ? 'Some may be delivered since' : failedHint(left)}
          </span>
        )}
      </Tile>
      <Tile label="Waiting now" value={count(waiting)}>
        {oldestWaitingAt === undefined ? (
          'Nothing waits'
        ) : (
          <>
            The oldest since <Time at={oldestWaitingAt} />
          </>
        )}
      </Tile>
      <Tile label="Endpoints in trouble" value={count(troubled)} tone={troubled > 0 ? 'bad' : undefined}>
        of {counted(enabled.length, 'enabled subscription')}
      </Tile>
    </ul>
  );
}

export function Tile(props: {
  readonly label: string;
  readonly value: string;
  readonly tone?: 'bad' | undefined;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <li class={`tile ${props.tone ?? ''}`}>
      <span class="tile-label">{props.label}</span>
      <strong class="tile-value">{props.value}</strong>
      <span class="tile-note">{props.children}</span>
    </li>
  );
}

function Next({ advice }: { readonly advice: readonly Advice[] }): JSX.Element {
  return (
    <Panel title="What to do next">
      {advice.length === 0 ? (
        <p class="all-well">Nothing. Every endpoint answers, and no failed event is left.</p>
      ) : (
        <ul class="advice">
          {advice.map((one) => (
            <li key={one.kind === 'create first' ? one.kind : one.kind + one.subscription.id}>
              <Words advice={one} />
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}

function Words({ advice }: { readonly advice: Advice }): JSX.Element {
  const { may } = customer();
  if (advice.kind === 'create first')
    return may('POST', 'subscriptions') ? (
      <Piece text={<>No subscription yet. Create one, and its listener gets events.</>}>
        <LinkButton to={['subscriptions', 'new']} kind="primary" icon="plus">
          Create a subscription
        </LinkButton>
      </Piece>
    ) : (
      <Piece text={<>There is no subscription yet.</>} />
    );
  const { id, title, health, waiting, failedNow = 0 } = advice.subscription;
  const name = <a href={hrefOf(['subscriptions', id])}>{title}</a>;
  const since = health.since !== undefined && (
    <>
      {' '}
      since <Time at={health.since} />
    </>
  );
  switch (advice.kind) {
    case 'failing':
      return (
        <Piece
          text={
            <>
              <HealthBadge state="failing" enabled /> {name} has been failing{since}.{' '}
              {waiting > 0 && `${counted(waiting, 'event waits', 'events wait')}.`}
            </>
          }
        >
          <LinkButton to={['subscriptions', id, 'events']} query={failedNow > 0 ? { state: 'failure' } : {}}>
            See why
          </LinkButton>
        </Piece>
      );
    case 'unverified':
      return (
        <Piece
          text={
            <>
              <HealthBadge state="unverified" enabled /> {name} gets events after its endpoint has answered a
              test.
            </>
          }
        >
          <LinkButton to={['subscriptions', id]}>Send a test</LinkButton>
        </Piece>
      );
    case 'redeliver':
      return (
        <Piece
          text={
            <>
              {counted(failedNow, 'failed event')} of {name} can be sent again. The endpoint answers now.
            </>
          }
        >
          <LinkButton to={['subscriptions', id, 'events']} query={{ state: 'failure' }}>
            See why
          </LinkButton>
          {may('POST', 'subscriptions', id, 'redeliveries') && (
            <LinkButton to={['subscriptions', id, 'redeliveries']}>Send again</LinkButton>
          )}
        </Piece>
      );
    case 'slow':
      return (
        <Piece
          text={
            <>
              <HealthBadge state="slow" enabled /> {name} has taken long to answer{since}. Let it store the
              event, answer, and work then.
            </>
          }
        >
          <LinkButton to={['subscriptions', id]}>See its answers</LinkButton>
        </Piece>
      );
    case 'disabled':
      return (
        <Piece
          text={
            <>
              {name} is disabled. {counted(failedNow, 'failed event')} can be sent again after it is enabled.
            </>
          }
        >
          <LinkButton to={['subscriptions', id]}>Look at it</LinkButton>
        </Piece>
      );
    case 'never delivered':
      return (
        <Piece text={<>{name} has not received anything yet. A test shows whether its listener answers.</>}>
          <LinkButton to={['subscriptions', id]}>Send a test</LinkButton>
        </Piece>
      );
  }
}

function Piece(props: {
  readonly text: ComponentChildren;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <>
      <p>{props.text}</p>
      {props.children && <div class="actions">{props.children}</div>}
    </>
  );
}

const allOf = (total: number) => (total === 1 ? 'See the list' : `All ${count(total)} subscriptions`);

/** The subscriptions with trouble first, then those with the slowest answers. */
function Troubled({ figures }: { readonly figures: Figures }): JSX.Element | null {
  const { subscriptions, boundsMs } = figures;
  const rank = { failing: 3, unverified: 2, slow: 1, healthy: 0 };
  const slowest = (one: FiguresOfOne) => boundOf(one.totals.answerTimes, boundsMs, 0.99) ?? 0;
  const rows = [...subscriptions]
    .sort((a, b) => rank[b.health.state] - rank[a.health.state] || slowest(b) - slowest(a))
    .slice(0, TROUBLED_MAX);
  if (subscriptions.length === 0) return null;
  return (
    <Panel
      title="Endpoints, those in trouble first"
      aside={<a href={hrefOf(['subscriptions'])}>{allOf(subscriptions.length)}</a>}
    >
      {rows.length === 0 ? (
        <Empty title="There is no subscription yet." />
      ) : (
        <Table
          caption="Subscriptions, those in trouble first"
          rows={rows}
          keyOf={({ id }) => id}
          columns={[
            {
              title: 'Subscription',
              main: true,
              cell: ({ id, title }) => (
                <a class="row-link" href={hrefOf(['subscriptions', id])}>
                  {title}
                </a>
              ),
            },
            {
              title: 'Endpoint',
              cell: (one) => (
                <HealthBadge state={one.health.state} enabled={one.enabled} tried={wasTried(one)} />
              ),
            },
            { title: 'Delivered', number: true, cell: ({ totals }) => count(totals.delivered) },
            {
              title: 'Failed',
              number: true,
              cell: ({ totals, failedNow }) => (
                <>
                  {count(totals.failed)}
                  {failedNow !== undefined && failedNow < totals.failed && (
                    <span class="under" title={COUNTED_TWICE}>
                      {count(failedNow)} now
                    </span>
                  )}
                </>
              ),
            },
            { title: 'Waiting', number: true, cell: ({ waiting }) => count(waiting) },
            {
              title: '99 % answered within',
              number: true,
              cell: (one) => within(boundOf(one.totals.answerTimes, boundsMs, 0.99), boundsMs),
            },
          ]}
        />
      )}
    </Panel>
  );
}

export function within(bound: number | undefined, boundsMs: readonly number[]): string {
  if (bound === undefined) return '–';
  if (bound === Number.POSITIVE_INFINITY) return `over ${duration(boundsMs.at(-1) ?? 0)}`;
  return duration(bound);
}
