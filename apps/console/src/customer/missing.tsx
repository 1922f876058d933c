/** An address whose thing this customer does not have. A browser is one customer at a time, so it may be one of another. */
import type { JSX } from 'preact';
import type { CallError } from '../lib/errors.ts';
import { customer } from '../state/session.ts';
import { Failure, LinkButton } from '../ui/parts.tsx';

export function Missing(props: {
  readonly error: CallError | undefined;
  readonly retry: () => void;
}): JSX.Element | null {
  const { error, retry } = props;
  if (error?.status !== 404) return <Failure error={error} retry={retry} />;
  return (
    <>
      <Failure error={error} />
      <p>
        This browser is signed in for <strong>{customer().name}</strong> now, and looks there alone. Did you
        open a link of another customer in another tab? Then open a new link of the customer that you want.
      </p>
      <div class="actions">
        <LinkButton to={[]}>Go to the overview</LinkButton>
      </div>
    </>
  );
}
