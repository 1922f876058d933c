/**
 * Makes the Postman collection of an OpenAPI document. A library converts; what is added here makes it work at once: ids are variables
 * of the collection, and each request that makes something stores its id, or its token, for the requests after it.
 */
import { createRequire } from 'node:module';

interface Variable {
  readonly key: string;
  value: string;
}

interface Item {
  name: string;
  item?: Item[];
  request?: {
    readonly method: string;
    readonly url: { readonly path: readonly string[]; variable: Variable[]; readonly query: Variable[] };
    auth?: unknown;
  };
  response?: unknown[];
  event?: unknown[];
  [member: string]: unknown;
}

interface Collection {
  readonly info: Readonly<Record<string, unknown>>;
  item: Item[];
  variable: Variable[];
  [member: string]: unknown;
}

type Conversion =
  | { readonly result: true; readonly output: readonly { readonly data: Collection }[] }
  | { readonly result: false; readonly reason: string };

interface Converter {
  convert(
    input: { readonly type: 'string'; readonly data: string },
    options: Readonly<Record<string, unknown>>,
    done: (error: Error | null, conversion: Conversion) => void,
  ): void;
}

const { convert } = createRequire(import.meta.url)('openapi-to-postmanv2') as Converter;

const OPTIONS = {
  folderStrategy: 'Tags',
  requestParametersResolution: 'Example',
  exampleParametersResolution: 'Example',
  disableOptionalParameters: true,
  optimizeConversion: true,
};

/** The variables of the collection, with what a user has to fill in first. */
const VARIABLES = {
  baseUrl: 'http://127.0.0.1:8787',
  operatorToken: '',
  cid: '',
  clientId: '',
  clientSecret: '',
  accessToken: '',
  endpoint: 'https://listener.example.com/hooks',
  sid: '',
  eid: '',
  exportId: '',
  redeliveryId: '',
  letterId: '',
};

/** What a request stores, by its method and path: a variable, and where the answer has its value. */
const STORES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'POST operator/customers': { cid: 'id' },
  'POST operator/customers/:cid/clients': { clientId: 'clientId', clientSecret: 'clientSecret' },
  'POST operator/customers/:cid/clients/:clientId/rotate-secret': { clientSecret: 'clientSecret' },
  'POST :cid/login/token': { accessToken: 'access_token' },
  'POST :cid/webhooks/subscriptions': { sid: 'id' },
  'POST :cid/webhooks/events': { eid: '_embedded.events[0].id' },
  'POST :cid/webhooks/subscriptions/:sid/exports': { exportId: 'id' },
  'POST :cid/webhooks/subscriptions/:sid/redeliveries': { redeliveryId: 'id' },
};

/** @returns the collection as text, the same for the same document */
export async function collectionOf(document: object): Promise<string> {
  const collection = await converted(document);
  const { info } = collection;
  const made = {
    info: { name: info['name'], description: info['description'], schema: info['schema'] },
    // Postman sends no notifications, and is no page of ours: those folders are for listeners and for the console.
    item: collection.item.filter(({ name }) => !['Notifications', 'Console'].includes(name)).map(completed),
    variable: Object.entries(VARIABLES).map(([key, value]) => ({ key, value })),
  };
  return `${JSON.stringify(made, null, 2)}\n`;
}

function converted(document: object): Promise<Collection> {
  return new Promise((resolve, reject) => {
    convert({ type: 'string', data: JSON.stringify(document) }, OPTIONS, (error, conversion) => {
      if (error !== null) reject(error);
      else if (conversion.result) resolve((conversion.output[0] as { data: Collection }).data);
      else reject(new Error(conversion.reason));
    });
  });
}

function completed({ name, item, request }: Item): Item {
  if (request === undefined) return { name, item: (item ?? []).map(completed) };
  const path = request.url.path.join('/');
  for (const variable of request.url.variable) {
    const known = path.startsWith('operator/dead-letters') ? 'letterId' : variable.key;
    variable.value = `{{${known}}}`;
  }
  // All of them are optional, and the library makes values up.
  for (const parameter of request.url.query) parameter.value = '';
  const stores = STORES[`${request.method} ${path}`];
  return {
    name,
    request: { ...withEndpoint(request), ...(request.auth == null ? {} : { auth: authOf(path) }) },
    response: [],
    ...(stores === undefined ? {} : { event: [storing(stores)] }),
  };
}

/** The endpoint of the examples is a variable, so that a user names a listener once. */
function withEndpoint<Request extends object>(request: Request): Request {
  const endpoint = JSON.stringify(VARIABLES.endpoint).slice(1, -1);
  return JSON.parse(JSON.stringify(request).replaceAll(endpoint, '{{endpoint}}')) as Request;
}

function authOf(path: string) {
  if (path.endsWith('login/token')) {
    const basic = [
      { key: 'username', value: '{{clientId}}' },
      { key: 'password', value: '{{clientSecret}}' },
    ];
    return { type: 'basic', basic };
  }
  const token = path.startsWith('operator/') ? '{{operatorToken}}' : '{{accessToken}}';
  return { type: 'bearer', bearer: [{ key: 'token', value: token }] };
}

function storing(stores: Readonly<Record<string, string>>) {
  const lines = Object.entries(stores).map(
    ([variable, place]) => `  pm.collectionVariables.set('${variable}', pm.response.json().${place});`,
  );
  const exec = ['if (pm.response.code < 300) {', ...lines, '}'];
  return { listen: 'test', script: { type: 'text/javascript', exec } };
}
