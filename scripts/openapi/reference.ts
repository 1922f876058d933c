/**
 * The readable reference of the API, from the OpenAPI document: one page without script, for `GET /docs` (contract 10.5). It is
 * made here and not in the browser, so it works under a policy that permits nothing but its own style sheet.
 */
import { html } from 'hono/html';

interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly format?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

interface Content {
  readonly schema?: Schema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly value: unknown }>>;
}

interface Parameter {
  readonly $ref?: string;
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema?: Schema;
}

interface Answer {
  readonly $ref?: string;
  readonly description: string;
  readonly content?: Readonly<Record<string, Content>>;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly security?: readonly unknown[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<Record<string, Answer>>;
}

type Items = Readonly<Record<string, Readonly<Record<string, Operation>>>>;

/** The parts of the document that the page shows. */
interface Document {
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths: Items;
  readonly webhooks: Items;
}

/** A table stops here: deeper members are in the example. */
const MAX_DEPTH = 3;

type Html = ReturnType<typeof html>;

/** @param given the OpenAPI document @returns the page */
export async function referenceOf(given: unknown): Promise<string> {
  const document = given as Document;
  const { info, tags = [] } = document;
  const resolve = resolverOf(document);
  const all = [document.paths, document.webhooks].flatMap((items) =>
    Object.entries(items).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
    ),
  );
  const groups = tags.map((tag) => ({
    ...tag,
    calls: all.filter(({ operation }) => operation.tags.includes(tag.name)),
  }));
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reference of ${info.title}</title>
<link rel="stylesheet" href="/style.css">
</head>
<body class="reference">
<header>
<p><a href="/">${info.title}</a></p>
<h1>Reference</h1>
<p>${prose(info.description ?? '')}</p>
<p>Machines read the same at <a href="/openapi.json">/openapi.json</a>.</p>
</header>
<nav aria-label="Calls">
${groups.map(
  ({ name, calls }) => html`<details>
<summary>${name}</summary>
<ul>
${calls.map(({ method, path, operation }) => html`<li><a href="#${operation.operationId}">${operation.summary}</a> <code>${method.toUpperCase()} ${path}</code></li>\n`)}</ul>
</details>
`,
)}</nav>
<main>
${groups.map(
  ({ name, description, calls }) => html`<h2>${name}</h2>
<p>${prose(description ?? '')}</p>
${calls.map(({ method, path, operation }) => callSection(method, path, operation, resolve))}`,
)}</main>
</body>
</html>
`;
  return String(await page);
}

type Resolve = <T extends { readonly $ref?: string }>(value: T) => T;

function resolverOf(document: Document): Resolve {
  return (value) => {
    if (value.$ref === undefined) return value;
    const steps = value.$ref.slice(2).split('/');
    return steps.reduce<unknown>(
      (at, step) => (at as Record<string, unknown>)[step],
      document,
    ) as typeof value;
  };
}

function callSection(method: string, path: string, operation: Operation, resolve: Resolve): Html {
  const { operationId, summary, description, security, parameters = [], requestBody, responses } = operation;
  return html`<section id="${operationId}">
<h3>${summary}</h3>
<p class="call"><code>${method.toUpperCase()} ${path}</code>${security?.length === 0 ? ' needs no token' : ''}</p>
${description === undefined ? '' : html`<p>${prose(description)}</p>\n`}${parameterTable(parameters.map(resolve), resolve)}${Object.entries(requestBody?.content ?? {}).map(([type, content]) => body('Body', type, content, resolve))}<h4>Answers</h4>
<table>
<tbody>
${Object.entries(responses).map(([status, answer]) => html`<tr><th scope="row">${status}</th><td>${prose(resolve(answer).description)}</td></tr>\n`)}</tbody>
</table>
${Object.entries(responses)
  .filter(([status]) => status.startsWith('2'))
  .flatMap(([status, answer]) =>
    Object.entries(resolve(answer).content ?? {}).map(([type, content]) =>
      body(status, type, content, resolve),
    ),
  )}</section>
`;
}

function parameterTable(parameters: readonly Parameter[], resolve: Resolve): Html | string {
  if (parameters.length === 0) return '';
  return html`<table>
<thead><tr><th scope="col">Parameter</th><th scope="col">In</th><th scope="col">Value</th></tr></thead>
<tbody>
${parameters.map((one) => html`<tr><th scope="row"><code>${one.name}</code>${one.required === true ? '' : ' optional'}</th><td>${one.in}</td><td>${value(one.schema ?? {}, resolve, one.description)}</td></tr>\n`)}</tbody>
</table>
`;
}

/** The members and the example of a body. */
function body(
  name: string,
  type: string,
  { schema = {}, example, examples = {} }: Content,
  resolve: Resolve,
): Html {
  const members = [...membersOf(schema, resolve)];
  const shown = example ?? Object.values(examples)[0]?.value;
  const text = typeof shown === 'string' ? shown : JSON.stringify(shown, null, 2);
  return html`<details>
<summary>${name}: ${type}</summary>
${
  members.length === 0
    ? ''
    : html`<table>
<thead><tr><th scope="col">Member</th><th scope="col">Value</th></tr></thead>
<tbody>
${members.map(([path, member, isRequired]) => html`<tr><th scope="row"><code>${path}</code>${isRequired ? '' : ' optional'}</th><td>${value(member, resolve)}</td></tr>\n`)}</tbody>
</table>
`
}${shown === undefined ? '' : html`<pre><code>${text}</code></pre>\n`}</details>
`;
}

function* membersOf(
  schema: Schema,
  resolve: Resolve,
  prefix = '',
  depth = 0,
): Generator<readonly [path: string, schema: Schema, isRequired: boolean]> {
  const own = resolve(schema);
  if (own.items !== undefined) yield* membersOf(own.items, resolve, `${prefix}[]`, depth);
  if (depth >= MAX_DEPTH) return;
  for (const [name, member] of Object.entries(own.properties ?? {})) {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    yield [path, resolve(member), own.required?.includes(name) ?? false];
    // Links are all alike, and the example shows them.
    if (name !== '_links') yield* membersOf(member, resolve, path, depth + 1);
  }
}

/** What a value may be, in words. */
function value(schema: Schema, resolve: Resolve, description?: string): Html {
  const own = resolve(schema);
  const said = description ?? own.description;
  const kinds = [own.format ?? [own.type ?? []].flat().join(' or '), ...boundsOf(own)].filter(
    (one) => one !== '',
  );
  return html`${said === undefined ? '' : html`${prose(said.replace(/\.$/, ''))}. `}<span class="kind">${kinds.join(', ')}</span>`;
}

function boundsOf(schema: Schema): string[] {
  const { minimum, maximum, minLength, maxLength, minItems, maxItems } = schema;
  const range = (min: number | undefined, max: number | undefined, unit: string) => {
    if (max === undefined) return min === undefined ? [] : [`at least ${min}${unit}`];
    return [min === undefined ? `at most ${max}${unit}` : `${min} to ${max}${unit}`];
  };
  return [
    ...(schema.const === undefined ? [] : [JSON.stringify(schema.const)]),
    ...(schema.enum === undefined ? [] : [schema.enum.map((one) => JSON.stringify(one)).join(' | ')]),
    ...range(minimum, maximum, ''),
    ...range(minLength, maxLength, ' characters'),
    ...range(minItems, maxItems, ' members'),
    ...(schema.default === undefined ? [] : [`default ${JSON.stringify(schema.default)}`]),
  ];
}

/** Text in which backticks mark code. */
function prose(text: string): Html[] {
  const parts = text.split('`');
  return parts.map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`));
}
