/** Charts as SVG. What they show is also in a table, behind a button. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { axisTop, barsOf, grouped, type Hour, labelsOf } from '../lib/chart.ts';
import { count, localTime, utcTime } from '../lib/format.ts';
import { Button, Table, Time } from './parts.tsx';

const WIDTH = 720;
const HEIGHT = 140;

/** Delivered and failed events of each hour. */
export function HourChart(props: { readonly hours: readonly Hour[]; readonly label: string }): JSX.Element {
  const { hours, label } = props;
  const [asTable, setAsTable] = useState(false);
  const top = axisTop(Math.max(0, ...hours.map(({ delivered, failed }) => delivered + failed)));
  return (
    <figure class="chart">
      <figcaption>
        <span class="legend">
          <span class="key delivered" /> Delivered
        </span>
        <span class="legend">
          <span class="key failed" /> Failed
        </span>
        <Button kind="quiet" onClick={() => setAsTable(!asTable)} expanded={asTable}>
          {asTable ? 'Hide the table' : 'Show as a table'}
        </Button>
      </figcaption>
      <Bars hours={hours} top={top} label={label} />
      <svg class="axis" aria-hidden="true">
        {labelsOf(hours).map(({ share, text, minor }) => (
          <text key={share} class={minor ? 'minor' : ''} x={`${share * 100}%`} y="0.8125rem">
            {text}
          </text>
        ))}
      </svg>
      {asTable && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a box that scrolls must be reached by the keyboard
        <section class="chart-table" tabIndex={0} aria-label="The chart as a table">
          <Table
            caption={label}
            rows={[...hours].reverse()}
            keyOf={({ hour }) => hour}
            columns={[
              { title: 'Hour that began', cell: ({ hour }) => <Time at={hour} />, main: true },
              { title: 'Delivered', cell: ({ delivered }) => count(delivered), number: true },
              { title: 'Failed', cell: ({ failed }) => count(failed), number: true },
            ]}
          />
        </section>
      )}
    </figure>
  );
}

function Bars(props: {
  readonly hours: readonly Hour[];
  readonly top: number;
  readonly label: string;
}): JSX.Element {
  const { hours, top, label } = props;
  return (
    <div class="plot">
      <span class="plot-top" aria-hidden="true">
        {count(top)}
      </span>
      <span class="plot-half" aria-hidden="true">
        {count(top / 2)}
      </span>
      <span class="plot-zero" aria-hidden="true">
        0
      </span>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={label}>
        {[0, 0.5, 1].map((share) => (
          <line key={share} class="grid" x1={0} x2={WIDTH} y1={HEIGHT * share} y2={HEIGHT * share} />
        ))}
        {barsOf(hours, WIDTH, HEIGHT, top).map(({ x, width, delivered, failed }, index) => {
          const hour = hours[index];
          if (hour === undefined) return null;
          const at = Date.parse(hour.hour);
          return (
            <g key={hour.hour} class="bar">
              <title>
                {`${localTime(at, Date.now())} (${utcTime(at).slice(0, 16)} UTC): ${count(hour.delivered)} delivered, ${count(hour.failed)} failed`}
              </title>
              <rect class="hit" x={x} y={0} width={width} height={HEIGHT} />
              <rect class="delivered" x={x} y={delivered.y} width={width} height={delivered.height} />
              <rect class="failed" x={x} y={failed.y} width={width} height={failed.height} />
            </g>
          );
        })}
      </svg>
    </div>
  );
}

const SPARK = { width: 112, height: 28, hoursOfBar: 6 };

/** A week of one subscription in a row of a list; the numbers beside it say the same. */
export function Sparkline(props: {
  readonly delivered: readonly number[];
  readonly failed: readonly number[];
}): JSX.Element {
  const delivered = grouped(props.delivered, SPARK.hoursOfBar);
  const failed = grouped(props.failed, SPARK.hoursOfBar);
  const hours = delivered.map((value, index) => ({
    hour: String(index),
    delivered: value,
    failed: failed[index] ?? 0,
  }));
  const top = Math.max(1, ...hours.map((hour) => hour.delivered + hour.failed));
  const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);
  const label = `${count(sum(delivered))} delivered and ${count(sum(failed))} failed in 7 days`;
  return (
    <svg
      class="sparkline"
      viewBox={`0 0 ${SPARK.width} ${SPARK.height}`}
      width={SPARK.width}
      height={SPARK.height}
      role="img"
      aria-label={label}
    >
      <title>{label}</title>
      <line class="grid" x1={0} x2={SPARK.width} y1={SPARK.height - 0.5} y2={SPARK.height - 0.5} />
      {barsOf(hours, SPARK.width, SPARK.height - 1, top).map(({ x, width, delivered, failed }) => (
        <g key={x}>
          <rect class="delivered" x={x} y={delivered.y} width={width} height={delivered.height} />
          <rect class="failed" x={x} y={failed.y} width={width} height={failed.height} />
        </g>
      ))}
    </svg>
  );
}
