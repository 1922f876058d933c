/** The shell: who is signed in, the way to each screen, and the screen of the present address. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { CustomerScreens } from './customer/screens.tsx';
import type { Kind } from './lib/access.ts';
import { hrefOf } from './lib/routes.ts';
import { OperatorScreens } from './operator/screens.tsx';
import { SignIn } from './sign-in.tsx';
import { route } from './state/navigation.ts';
import { dismiss, leavePage, notices, notify, spoken } from './state/notices.ts';
import { asCallError, look, type Session, sessions, signOut } from './state/session.ts';
import { redeeming } from './state/start.ts';
import { focusHeading } from './ui/focus.ts';
import { Icon, type IconName, Mark } from './ui/icons.tsx';
import { Badge, Failure, Loading } from './ui/parts.tsx';

export function App(): JSX.Element {
  const kind: Kind = route.value.path[0] === 'operator' ? 'operator' : 'customer';
  return (
    <>
      {/* A button: the fragment of a link would be a route. */}
      <button type="button" class="skip" onClick={() => document.getElementById('main')?.focus()}>
        Skip to the content
      </button>
      <Gate kind={kind} />
      <div class="notices" role="status" aria-live="polite">
        {notices.value.map(({ id, text }) => (
          <p key={id} class="toast">
            <span>{text}</span>
            <button type="button" class="copy" aria-label="Close this message" onClick={() => dismiss(id)}>
              <Icon name="bad" />
            </button>
          </p>
        ))}
      </div>
      <div class="visually-hidden" role="status" aria-live="polite">
        {spoken.value}
      </div>
    </>
  );
}

/** Shows the screens of a kind of session when there is one. The address stays as it is, so it is found again after signing in. */
function Gate({ kind }: { readonly kind: Kind }): JSX.Element {
  const state = sessions[kind].value;
  const isRedeeming = redeeming.value;
  const hadForm = useRef(false);
  if (state.state === 'none') hadForm.current = true;
  useEffect(() => {
    if (state.state === 'unknown' && !isRedeeming) void look(kind);
  }, [kind, state.state, isRedeeming]);
  if (isRedeeming || state.state === 'unknown')
    return (
      <main class="alone" id="main" tabIndex={-1}>
        <Loading what="your session" />
      </main>
    );
  switch (state.state) {
    case 'failed':
      return (
        <main class="alone" id="main" tabIndex={-1}>
          <Failure error={state.error} retry={() => void look(kind)} />
        </main>
      );
    case 'none':
      return <SignIn kind={kind} note={state.note} />;
    case 'open':
      return (
        <Shell session={state.session} key={state.session.customerId} focus={hadForm.current}>
          {kind === 'operator' ? <OperatorScreens /> : <CustomerScreens />}
        </Shell>
      );
  }
}

interface Way {
  readonly label: string;
  readonly icon: IconName;
  readonly to: readonly string[];
}

const CUSTOMER_WAYS: readonly Way[] = [
  { label: 'Overview', icon: 'overview', to: [] },
  { label: 'Subscriptions', icon: 'subscriptions', to: ['subscriptions'] },
  { label: 'Find an event', icon: 'search', to: ['find'] },
  { label: 'Keys', icon: 'key', to: ['keys'] },
];

const OPERATOR_WAYS: readonly Way[] = [
  { label: 'Overview', icon: 'overview', to: ['operator'] },
  { label: 'Customers', icon: 'customers', to: ['operator', 'customers'] },
  { label: 'Endpoints', icon: 'slow', to: ['operator', 'endpoints'] },
  { label: 'Dead letters', icon: 'letter', to: ['operator', 'dead-letters'] },
  { label: 'Notices', icon: 'bell', to: ['operator', 'notices'] },
  { label: 'Audit', icon: 'audit', to: ['operator', 'audit'] },
];

function Shell(props: {
  readonly session: Session;
  /** Whether the heading gets the focus at once: the form to sign in had it. */
  readonly focus: boolean;
  readonly children: ComponentChildren;
}): JSX.Element {
  const { session } = props;
  const isOperator = session.kind === 'operator';
  const path = route.value.path.join('/');
  const menu = useRef<HTMLDetailsElement>(null);
  useFocusOnNavigation(path, menu);
  useEffect(() => {
    if (props.focus) focusHeading();
  }, []);
  const ways = (
    <>
      <ul class="ways">
        {(isOperator ? OPERATOR_WAYS : CUSTOMER_WAYS).map((way) => (
          <li key={way.label}>
            <a href={hrefOf(way.to)} aria-current={isAt(way.to, path) ? 'page' : undefined}>
              <Icon name={way.icon} />
              {way.label}
            </a>
          </li>
        ))}
      </ul>
      <ul class="ways last">
        {sessions[isOperator ? 'customer' : 'operator'].value.state === 'open' && (
          <li>
            <a href={hrefOf(isOperator ? [] : ['operator'])}>
              <Icon name="next" />
              {isOperator ? 'Customer console' : 'Operator console'}
            </a>
          </li>
        )}
        <li>
          <button
            type="button"
            onClick={() => signOut(session.kind).catch((error) => notify(asCallError(error).message))}
          >
            <Icon name="out" />
            Sign out
          </button>
        </li>
      </ul>
    </>
  );
  return (
    <div class="shell">
      <header class="side">
        <div class="brand">
          <Mark />
          <div class="brand-text">
            <span class="brand-name">Webhooks</span>
            <span class="who" title={isOperator ? undefined : session.customerName}>
              {isOperator ? 'Operator' : session.customerName}
            </span>
          </div>
          {session.readOnly && <Badge tone="off">Read-only</Badge>}
          <details
            class="menu"
            ref={menu}
            onKeyDown={(event) => {
              if (event.key !== 'Escape' || !event.currentTarget.open) return;
              event.currentTarget.open = false;
              event.currentTarget.querySelector('summary')?.focus();
            }}
          >
            <summary aria-label="Menu">
              <Icon name="menu" />
            </summary>
            <nav aria-label="Main, small">{ways}</nav>
          </details>
        </div>
        <nav class="side-nav" aria-label="Main">
          {ways}
        </nav>
      </header>
      <main id="main" tabIndex={-1}>
        {props.children}
      </main>
    </div>
  );
}

function isAt(to: readonly string[], path: string): boolean {
  const way = to.join('/');
  return way === '' || way === 'operator' ? path === way : path === way || path.startsWith(`${way}/`);
}

/** A new screen begins at its top, with the focus on its heading. The first one leaves the focus to the browser. */
function useFocusOnNavigation(path: string, menu: { readonly current: HTMLDetailsElement | null }): void {
  const last = useRef(path);
  useEffect(() => {
    if (last.current === path) return;
    last.current = path;
    menu.current?.removeAttribute('open');
    leavePage();
    scrollTo(0, 0);
    focusHeading();
  }, [path, menu]);
}
