// biome-ignore-all lint/a11y/noRedundantRoles: in a narrow window the style sheet makes blocks of a table's parts, and takes their roles
/** The parts that every screen is made of. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { CallError } from '../lib/errors.ts';
import { countdown, localTime, relative, shortId, utcTime } from '../lib/format.ts';
import { hrefOf } from '../lib/routes.ts';
import { now } from '../state/clock.ts';
import { speak } from '../state/notices.ts';
import { keepFocus } from './focus.ts';
import { Icon, type IconName } from './icons.tsx';

type Query = Readonly<Record<string, string | undefined>>;

/** The frame of a screen: its title is the page's heading, which gets the focus after a navigation. */
export function Page(props: {
  readonly title: string;
  readonly lead?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly trail?: readonly { readonly label: string; readonly to: readonly string[] }[];
  readonly children: ComponentChildren;
}): JSX.Element {
  const { title, lead, actions, trail = [], children } = props;
  useEffect(() => {
    document.title = `${title} · Webhooks console`;
  }, [title]);
  useEffect(keepFocus);
  return (
    <>
      {trail.length > 0 && (
        <nav class="trail" aria-label="You are here">
          {trail.map(({ label, to }) => (
            <span key={label}>
              <a href={hrefOf(to)}>{label}</a>
              <Icon name="next" />
            </span>
          ))}
        </nav>
      )}
      <header class="page-head">
        <div>
          <h1 tabIndex={-1}>{title}</h1>
          {lead !== undefined && <div class="lead">{lead}</div>}
        </div>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

export function Panel(props: {
  readonly title: string;
  readonly aside?: ComponentChildren;
  readonly tone?: 'warn' | 'bad';
  readonly children: ComponentChildren;
}): JSX.Element {
  const id = useId();
  return (
    <section class={`panel ${props.tone ?? ''}`} aria-labelledby={id}>
      <header class="panel-head">
        <h2 id={id}>{props.title}</h2>
        {props.aside !== undefined && <div class="aside">{props.aside}</div>}
      </header>
      {props.children}
    </section>
  );
}

export function Button(props: {
  readonly onClick?: () => void;
  readonly kind?: 'primary' | 'plain' | 'danger' | 'quiet';
  readonly icon?: IconName;
  readonly busy?: boolean;
  readonly disabled?: boolean;
  /** It has done its work: it keeps its place and the focus, and a second press does nothing. */
  readonly done?: boolean;
  readonly submit?: boolean;
  readonly label?: string;
  readonly expanded?: boolean;
  readonly children: ComponentChildren;
}): JSX.Element {
  const { kind = 'plain', busy = false, disabled = false, done = false } = props;
  return (
    <button
      type={props.submit ? 'submit' : 'button'}
      class={`button ${kind}`}
      onClick={() => {
        if (!busy && !done) props.onClick?.();
      }}
      disabled={disabled}
      aria-disabled={busy || done || undefined}
      aria-busy={busy || undefined}
      aria-label={props.label}
      aria-expanded={props.expanded}
    >
      {busy ? <span class="spinner" aria-hidden="true" /> : props.icon && <Icon name={props.icon} />}
      {props.children}
    </button>
  );
}

export function LinkButton(props: {
  readonly to: readonly string[];
  readonly query?: Query;
  readonly kind?: 'primary' | 'plain';
  readonly icon?: IconName;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <a class={`button ${props.kind ?? 'plain'}`} href={hrefOf(props.to, props.query)}>
      {props.icon && <Icon name={props.icon} />}
      {props.children}
    </a>
  );
}

/** @param what names the copied thing, such as `event id` */
export function Copy(props: {
  readonly text: string;
  readonly what: string;
  readonly word?: string;
  readonly onCopied?: () => void;
}): JSX.Element {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 2_000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    const done = await copyText(props.text);
    setCopied(done);
    if (done) props.onCopied?.();
    speak(done ? `Copied the ${props.what}` : `The ${props.what} could not be copied. Select it instead.`);
  };
  return (
    <button
      type="button"
      class={`copy ${props.word === undefined ? '' : 'worded'}`}
      onClick={copy}
      aria-label={`Copy the ${props.what}`}
      title={`Copy the ${props.what}`}
    >
      <Icon name={copied ? 'ok' : 'copy'} />
      {props.word !== undefined && <span>{copied ? 'Copied' : props.word}</span>}
    </button>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https there is no clipboard: the old way, with a field that is there for a moment.
    const field = document.createElement('textarea');
    field.value = text;
    field.className = 'visually-hidden';
    const { activeElement } = document;
    (document.querySelector('dialog[open]') ?? document.body).append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    if (activeElement instanceof HTMLElement) activeElement.focus();
    return done;
  }
}

export function Id(props: {
  readonly id: string;
  readonly what: string;
  readonly whole?: boolean;
}): JSX.Element {
  return (
    <span class="id">
      <code title={props.id}>{props.whole ? props.id : shortId(props.id)}</code>
      <Copy text={props.id} what={props.what} />
    </span>
  );
}

/** A time in the reader's zone; the hint has it in UTC. */
export function Time(props: { readonly at: string | number; readonly age?: boolean }): JSX.Element {
  const at = typeof props.at === 'number' ? props.at : Date.parse(props.at);
  if (Number.isNaN(at)) return <span>{props.at}</span>;
  const present = props.age ? now.value : now.peek();
  const local = localTime(at, present);
  const age = props.age ? relative(at, present) : undefined;
  return (
    <time dateTime={new Date(at).toISOString()} title={`${local} here, ${utcTime(at)}`}>
      {age ?? local}
    </time>
  );
}

/** `in 4:59`; what is due comes any moment. */
export function Countdown({ until }: { readonly until: string }): JSX.Element {
  const at = Date.parse(until);
  return (
    <span class="countdown" role="timer" title={utcTime(at)}>
      {at > now.value ? `in ${countdown(at, now.value)}` : 'any moment'}
    </span>
  );
}

export type Tone = 'ok' | 'bad' | 'wait' | 'slow' | 'off' | 'run';

/** A state as an icon and a word: never a colour alone. */
export function Badge(props: { readonly tone: Tone; readonly children: ComponentChildren }): JSX.Element {
  return (
    <span class={`badge ${props.tone}`}>
      <Icon name={props.tone} />
      {props.children}
    </span>
  );
}

export function Notice(props: {
  readonly tone?: 'info' | 'warn' | 'bad' | 'bad-quiet' | 'ok';
  readonly children: ComponentChildren;
}): JSX.Element {
  const { tone = 'info' } = props;
  return (
    <div class={`notice ${tone}`} role={tone === 'bad' ? 'alert' : undefined}>
      {props.children}
    </div>
  );
}

/** An error in words, with the id of the request and a way to try again. */
export function Failure(props: {
  readonly error: CallError | undefined;
  readonly retry?: () => void;
  readonly what?: string;
}): JSX.Element | null {
  const { error, retry, what } = props;
  if (error === undefined) return null;
  return (
    <div class="notice bad" role="alert">
      <p>
        {what !== undefined && <strong>{what} </strong>}
        {error.message}
        {error.retryAfterSeconds !== undefined && ` Try again in ${error.retryAfterSeconds} s.`}
      </p>
      {error.requestId !== undefined && (
        <p class="small">
          Request <Id id={error.requestId} what="request id" whole />
        </p>
      )}
      {/* What does not exist, and what the present state forbids, is the same a moment later. */}
      {retry && error.status !== 404 && error.status !== 409 && (
        <Button onClick={retry} icon="run">
          Try again
        </Button>
      )}
    </div>
  );
}

/** What is shown while the first answer is on its way. */
export function Loading({ what }: { readonly what: string }): JSX.Element {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      Loading {what}…
    </div>
  );
}

export function Empty(props: {
  readonly title: string;
  readonly children?: ComponentChildren;
  readonly action?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="empty">
      <p class="empty-title">{props.title}</p>
      {props.children && <div class="empty-text">{props.children}</div>}
      {props.action && <div class="empty-action">{props.action}</div>}
    </div>
  );
}

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  readonly number?: boolean;
  /** In a narrow window it has a line of its own. */
  readonly wide?: boolean;
  /** The first column of this kind names the row. */
  readonly main?: boolean;
}

/** A table; in a narrow window each row becomes a card. The roles keep it a table for screen readers there. */
export function Table<Row>(props: {
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly classOf?: (row: Row) => string;
}): JSX.Element {
  return (
    <table class="table" role="table">
      <caption class="visually-hidden">{props.caption}</caption>
      <thead role="rowgroup">
        <tr role="row">
          {props.columns.map(({ title, number }) => (
            <th key={title} role="columnheader" scope="col" class={number ? 'number' : ''}>
              {title === '' ? <span class="visually-hidden">Actions</span> : title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody role="rowgroup">
        {props.rows.map((row) => (
          <tr key={props.keyOf(row)} role="row" class={props.classOf?.(row) ?? ''}>
            {props.columns.map(({ title, cell, number, wide, main }) =>
              main ? (
                <th key={title} role="rowheader" scope="row" class="main">
                  {cell(row)}
                </th>
              ) : (
                <td key={title} role="cell" class={`${number ? 'number' : ''} ${wide ? 'wide' : ''}`}>
                  {title !== '' && (
                    <span class="cell-label" aria-hidden="true">
                      {title}
                    </span>
                  )}
                  <span class="cell">{cell(row)}</span>
                </td>
              ),
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A field with its label, and its hint or its faults. A fault takes the place of the hint, so that little moves. */
export function Field(props: {
  readonly label: string;
  readonly hint?: ComponentChildren;
  readonly faults?: readonly string[];
  readonly children: (attributes: {
    readonly id: string;
    readonly 'aria-describedby': string | undefined;
    readonly 'aria-invalid': boolean | undefined;
  }) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const { faults = [] } = props;
  const hasNote = props.hint !== undefined || faults.length > 0;
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children({
        id,
        'aria-describedby': hasNote ? `${id}-note` : undefined,
        'aria-invalid': faults.length > 0 || undefined,
      })}
      {hasNote && (
        <div
          class={faults.length > 0 ? 'fault' : 'hint'}
          id={`${id}-note`}
          role={faults.length > 0 ? 'alert' : undefined}
        >
          {faults.length > 0 ? faults.map((fault) => <p key={fault}>{fault}</p>) : props.hint}
        </div>
      )}
    </div>
  );
}

/** What gets the focus in a dialog: its first field, or the button that changes nothing. */
const FIRST_FIELD = '.dialog-body :is(input, select, textarea), footer .button';

/** A dialog of the browser: it holds the focus, Escape closes it, and the focus returns to where it was. */
export function Dialog(props: {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly wide?: boolean;
  /** It cannot be closed yet, by no key and no button: what it shows would be lost. */
  readonly held?: boolean;
}): JSX.Element {
  const { held = false, onClose } = props;
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    element?.showModal();
    element?.querySelector<HTMLElement>(FIRST_FIELD)?.focus();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      class={props.wide ? 'wide' : ''}
      aria-labelledby={id}
      onKeyDown={(event) => {
        if (held && event.key === 'Escape') event.preventDefault();
      }}
      onCancel={(event) => {
        if (held) event.preventDefault();
      }}
      onClose={() => {
        // Some browsers let the second Escape through.
        if (!held) onClose();
        else if (dialog.current?.isConnected) dialog.current.showModal();
      }}
    >
      <header>
        <h2 id={id}>{props.title}</h2>
        {!held && (
          <button type="button" class="copy" aria-label="Close" onClick={onClose}>
            <Icon name="bad" />
          </button>
        )}
      </header>
      {props.children}
    </dialog>
  );
}

/** Asks before something that cannot be taken back. @param typed what must be typed to confirm */
export function Confirm(props: {
  readonly title: string;
  readonly action: string;
  readonly typed?: string;
  readonly danger?: boolean;
  readonly busy: boolean;
  readonly error: CallError | undefined;
  readonly onConfirm: () => void;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}): JSX.Element {
  const [typed, setTyped] = useState('');
  const isReady = props.typed === undefined || typed === props.typed;
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <form
        method="dialog"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) props.onConfirm();
        }}
      >
        <div class="dialog-body">
          {props.children}
          {props.typed !== undefined && (
            <Field
              label="Type the name to confirm"
              hint={
                <>
                  Type <code class="typed">{props.typed}</code>
                </>
              }
            >
              {(attributes) => (
                <input
                  {...attributes}
                  value={typed}
                  onInput={(event) => setTyped(event.currentTarget.value)}
                  autocomplete="off"
                  spellcheck={false}
                />
              )}
            </Field>
          )}
          <Failure error={props.error} />
        </div>
        <footer>
          <Button onClick={props.onClose}>Keep it as it is</Button>
          <Button submit kind={props.danger ? 'danger' : 'primary'} busy={props.busy} disabled={!isReady}>
            {props.action}
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

export function Facts(props: {
  readonly items: readonly (readonly [string, ComponentChildren] | false | undefined)[];
}): JSX.Element {
  return (
    <dl class="facts">
      {props.items.map(
        (item) =>
          item && (
            <div key={item[0]}>
              <dt>{item[0]}</dt>
              <dd>{item[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

/** Code in a box that scrolls by itself, also with the keyboard. */
export function Code(props: {
  readonly text: string;
  readonly what: string;
  readonly wrap?: boolean;
}): JSX.Element {
  return (
    <div class="code">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reached by the keyboard */}
      <section class={`pre ${props.wrap ? 'wrap' : ''}`} tabIndex={0} aria-label={props.what}>
        <pre>{props.text}</pre>
      </section>
      <Copy text={props.text} what={props.what} word="Copy" />
    </div>
  );
}

export function Progress(props: {
  readonly label: string;
  readonly value: number;
  readonly max: number;
}): JSX.Element {
  return (
    <progress aria-label={props.label} value={props.value} max={Math.max(1, props.max)}>
      {props.value} of {props.max}
    </progress>
  );
}

/** Links to the parts of a thing, of which one is shown. */
export function Tabs(props: {
  readonly label: string;
  readonly tabs: readonly {
    readonly label: string;
    readonly to: readonly string[];
    readonly current: boolean;
  }[];
}): JSX.Element {
  return (
    <nav class="tabs" aria-label={props.label}>
      {props.tabs.map(({ label, to, current }) => (
        <a key={label} href={hrefOf(to)} aria-current={current ? 'page' : undefined}>
          {label}
        </a>
      ))}
    </nav>
  );
}

/** A choice of a few, as radio buttons in a row. */
export function Choice<Value extends string>(props: {
  readonly label: string;
  readonly value: Value;
  readonly options: readonly (readonly [Value, string])[];
  readonly onChange: (value: Value) => void;
}): JSX.Element {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="visually-hidden">{props.label}</legend>
      {props.options.map(([value, text]) => (
        <label key={value}>
          <input
            type="radio"
            name={name}
            value={value}
            checked={props.value === value}
            onChange={() => props.onChange(value)}
          />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}
