/** The keys that verify the tokens, and how a listener uses them. */
import type { components } from '@identity-webhooks/client';
import type { JSX } from 'preact';
import { errorOf } from '../lib/errors.ts';
import { useLoad } from '../state/load.ts';
import { customer } from '../state/session.ts';
import { Badge, Code, Copy, Facts, Failure, Id, Loading, Page, Panel, Table } from '../ui/parts.tsx';

export function Keys(): JSX.Element {
  const { id } = customer();
  const path = `/${id}/login/jwk`;
  const { data, error, reload } = useLoad(
    async (signal) => {
      const answer = await fetch(path, { signal, credentials: 'omit' });
      if (!answer.ok) throw await errorOf(answer);
      return (await answer.json()) as components['schemas']['JsonWebKeySet'];
    },
    [path],
  );
  const url = location.origin + path;
  const algorithms = [...new Set(data?.keys.map(({ alg }) => alg) ?? ['RS256'])];
  return (
    <Page
      title="Keys"
      lead="Every token is signed. These public keys show that it comes from here, and that nobody changed it."
    >
      <Panel title="For your listener">
        <Facts
          items={[
            ['Key set (JWKS)', <Copyable key="jwks" text={url} what="URL of the key set" />],
            ['Issuer (iss)', <Copyable key="iss" text={`${location.origin}/${id}/webhooks`} what="issuer" />],
            ['Audience (aud)', 'the endpoint of the subscription, as it is configured'],
            ['Algorithm', `${algorithms.join(' or ')}; header typ is secevent+jwt`],
            ['Customer id', <Id key="id" id={id} what="customer id" whole />],
          ]}
        />
        <h3>In JavaScript, with jose</h3>
        <Code what="example" text={exampleOf(url, `${location.origin}/${id}/webhooks`, algorithms)} />
        <ul class="rules">
          <li>
            Take the key that the token’s kid names. Fetch the key set again when a kid is unknown: keys
            rotate.
          </li>
          <li>Check iss and aud, and drop repeats by jti: a token may arrive twice.</li>
          <li>Answer with a 2xx within 10 seconds, after the event is stored on your side.</li>
        </ul>
      </Panel>
      <Panel title="Published keys">
        <Failure error={error} retry={reload} what="The keys could not be read." />
        {data === undefined ? (
          error === undefined && <Loading what="the keys" />
        ) : (
          <>
            <Table
              caption="Published keys"
              rows={data.keys}
              keyOf={({ kid }) => kid}
              columns={[
                { title: 'Key id (kid)', main: true, cell: ({ kid }) => <Id id={kid} what="key id" /> },
                {
                  title: 'Use',
                  wide: true,
                  cell: ({ kid }) =>
                    kid === data.keys[0]?.kid ? (
                      <Badge tone="ok">Signs now</Badge>
                    ) : (
                      <Badge tone="off">Next, or signed earlier</Badge>
                    ),
                },
                { title: 'Kind', cell: ({ kty, alg }) => `${kty}, ${alg}` },
              ]}
            />
            <details>
              <summary>The key set as JSON</summary>
              <Code text={JSON.stringify(data, null, 2)} what="key set" />
            </details>
          </>
        )}
      </Panel>
    </Page>
  );
}

function Copyable(props: { readonly text: string; readonly what: string }): JSX.Element {
  return (
    <span class="id">
      <code class="breaks">{props.text}</code>
      <Copy {...props} />
    </span>
  );
}

function exampleOf(jwks: string, issuer: string, algorithms: readonly string[]): string {
  return `import { createRemoteJWKSet, jwtVerify } from 'jose';

const keys = createRemoteJWKSet(new URL('${jwks}'));

const { payload } = await jwtVerify(token, keys, {
  issuer: '${issuer}',
  audience: 'https://your.endpoint/as-configured',
  algorithms: [${algorithms.map((one) => `'${one}'`).join(', ')}],
  typ: 'secevent+jwt',
});`;
}
