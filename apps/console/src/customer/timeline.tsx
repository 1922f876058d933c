/** The story of an event: attempts with their answers, the waits between them, and the end. */
import type { ComponentChildren, JSX } from 'preact';
import { duration } from '../lib/format.ts';
import { type HistoryEntry, type Step, stepsOf } from '../lib/timeline.ts';
import { Badge, Countdown, Time, type Tone } from '../ui/parts.tsx';

export function Timeline(props: { readonly history: readonly HistoryEntry[] }): JSX.Element {
  return (
    <ol class="timeline" aria-label="Timeline">
      {stepsOf(props.history).map((step, index) => (
        <StepItem key={index} step={step} />
      ))}
    </ol>
  );
}

function StepItem({ step }: { readonly step: Step }): JSX.Element {
  switch (step.kind) {
    case 'accepted':
      return <Item at={step.at} tone="plain" title="Accepted" />;
    case 'redelivered':
      return <Item at={step.at} tone="plain" title="Asked to send again" />;
    case 'attempt':
      return <Attempt step={step} />;
    case 'wait': {
      const ms = Date.parse(step.until) - Date.parse(step.from);
      return step.over ? (
        <Item tone="gap" title={`Waited ${duration(ms)}`} />
      ) : (
        <Item at={step.until} tone="wait" title="Next attempt">
          <Countdown until={step.until} />
        </Item>
      );
    }
    case 'gave up':
      return (
        <Item at={step.at} tone="bad" title="Failed without an attempt">
          {step.reason !== undefined && <span class="reason">{step.reason}</span>}
        </Item>
      );
    case 'delivered':
      return <Item at={step.at} tone="ok" title="Delivered" />;
    case 'failed':
      return <Item at={step.at} tone="bad" title="Given up: no attempt follows" />;
  }
}

function Attempt({ step }: { readonly step: Extract<Step, { kind: 'attempt' }> }): JSX.Element {
  const { number, at, outcome, status, reason, durationMs, headers } = step;
  const tone: Tone = outcome === 'success' ? 'ok' : outcome === 'failure' ? 'bad' : 'run';
  const answer = reason ?? (status === undefined ? undefined : `HTTP ${status}`);
  const names = Object.entries(headers);
  return (
    <Item at={at} tone={tone} title={`Attempt ${number}`}>
      <Badge tone={tone}>
        {outcome === 'under way' ? 'Under way' : outcome === 'success' ? 'Success' : 'No success'}
      </Badge>
      {answer !== undefined && <span class="reason">{answer}</span>}
      {durationMs !== undefined && <span class="soft"> in {duration(durationMs)}</span>}
      {names.length > 0 && (
        <details>
          <summary>Headers of the answer</summary>
          <Headers headers={headers} />
        </details>
      )}
    </Item>
  );
}

export function Headers({ headers }: { readonly headers: Readonly<Record<string, string>> }): JSX.Element {
  return (
    <dl class="headers">
      {Object.entries(headers).map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Item(props: {
  readonly at?: string | undefined;
  readonly tone: Tone | 'plain' | 'gap';
  readonly title: string;
  readonly children?: ComponentChildren;
}): JSX.Element {
  return (
    <li class={props.tone}>
      <div class="step">
        <span class="step-title">{props.title}</span>
        {props.at !== undefined && (
          <span class="step-time">
            <Time at={props.at} />
          </span>
        )}
      </div>
      {props.children && <div class="step-more">{props.children}</div>}
    </li>
  );
}
