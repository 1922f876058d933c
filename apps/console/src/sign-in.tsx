/** The form for those who come without a link: developers of a customer, and the operator. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Kind } from './lib/access.ts';
import { CallError, type Fault } from './lib/errors.ts';
import { hrefOf } from './lib/routes.ts';
import { useAction } from './state/load.ts';
import { type Credentials, signIn } from './state/session.ts';
import { Mark } from './ui/icons.tsx';
import { Button, Failure, Field, Notice } from './ui/parts.tsx';

interface Input {
  readonly name: string;
  readonly label: string;
  readonly secret?: boolean;
  readonly complete: string;
}

const INPUTS: Readonly<Record<Kind, readonly Input[]>> = {
  customer: [
    { name: 'customerId', label: 'Customer id', complete: 'organization' },
    { name: 'clientId', label: 'Client id', complete: 'username' },
    { name: 'clientSecret', label: 'Client secret', secret: true, complete: 'current-password' },
  ],
  operator: [{ name: 'operatorToken', label: 'Operator token', secret: true, complete: 'current-password' }],
};

export function SignIn({
  kind,
  note,
}: {
  readonly kind: Kind;
  readonly note?: string | undefined;
}): JSX.Element {
  const inputs = INPUTS[kind];
  const [values, setValues] = useState<Readonly<Record<string, string>>>({});
  useEffect(() => {
    document.title = 'Sign in · Webhooks console';
  }, []);
  const { run, busy, error } = useAction(async () => {
    const given = Object.fromEntries(inputs.map(({ name }) => [name, (values[name] ?? '').trim()]));
    const empty: Fault[] = inputs
      .filter(({ name }) => !given[name])
      .map(({ name, label }) => ({ name, reason: `${label} is missing.` }));
    if (empty.length > 0) throw new CallError('Fill in every field.', { faults: empty });
    try {
      await signIn(given as Credentials);
    } catch (failure) {
      throw failure instanceof CallError && failure.status === 403 ? refused(kind, failure) : failure;
    }
  });
  const faultsOf = (name: string) =>
    error?.faults.filter((one) => one.name === name).map(({ reason }) => reason) ?? [];
  return (
    <main class="alone" id="main" tabIndex={-1}>
      <div class="sign-in">
        <div class="brand">
          <Mark />
          <div class="brand-text">
            <span class="brand-name">Webhooks</span>
            <span class="who">{kind === 'operator' ? 'Operator console' : 'Console'}</span>
          </div>
        </div>
        <h1>{kind === 'operator' ? 'Sign in as the operator' : 'Sign in'}</h1>
        {note !== undefined && <Notice tone="warn">{note}</Notice>}
        {kind === 'customer' && (
          <p class="soft">
            You normally come here by a link from your platform. Developers can use the credentials of a
            client instead.
          </p>
        )}
        <form
          novalidate
          onSubmit={(event) => {
            event.preventDefault();
            void run();
          }}
        >
          {inputs.map(({ name, label, secret, complete }) => (
            <Field key={name} label={label} faults={faultsOf(name)}>
              {(attributes) => (
                <input
                  {...attributes}
                  name={name}
                  type={secret ? 'password' : 'text'}
                  autocomplete={complete as 'username'}
                  autocapitalize="none"
                  spellcheck={false}
                  value={values[name] ?? ''}
                  onInput={(event) => setValues({ ...values, [name]: event.currentTarget.value })}
                />
              )}
            </Field>
          ))}
          {error !== undefined && error.faults.length === 0 && <Failure error={error} />}
          <Button submit kind="primary" busy={busy}>
            Sign in
          </Button>
        </form>
        <p class="small soft">
          {kind === 'operator' ? (
            <a href={hrefOf([])}>Sign in as a customer</a>
          ) : (
            <a href={hrefOf(['operator'])}>Sign in as the operator</a>
          )}
        </p>
      </div>
    </main>
  );
}

function refused(kind: Kind, { requestId }: CallError): CallError {
  const words = kind === 'operator' ? 'The token is wrong.' : 'Customer, client or secret is wrong.';
  return new CallError(words, { status: 403, requestId });
}
