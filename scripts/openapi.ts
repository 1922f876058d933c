/**
 * `npm run openapi`: writes what is made from the routes: `docs/openapi.json`, the document of a service at the address below,
 * `docs/postman.json`, the page of `GET /docs`, and the types of `packages/client`. A test fails while they are not current.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { operationsOf, typesOf } from '../packages/client/generate.ts';
import { createDocument } from '../src/http/app.ts';
import { collectionOf } from '../tools/postman/collection.ts';
import { referenceOf } from './openapi/reference.ts';

/** A reserved name (RFC 2606): a service puts its own BASE_URL here. */
const BASE_URL = 'https://identity-webhooks.example';

/** The files by their paths from the root of the project. */
export async function makeFiles(): Promise<Readonly<Record<string, string>>> {
  const document = createDocument(BASE_URL);
  return {
    'docs/openapi.json': `${JSON.stringify(document, null, 2)}\n`,
    'docs/postman.json': await collectionOf(document),
    'public/docs.html': await referenceOf(document),
    'packages/client/src/operations.ts': operationsOf(document),
    'packages/client/src/schema.ts': await typesOf(document),
  };
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await makeFiles())) {
    writeFileSync(join(import.meta.dirname, '..', path), text);
    console.log(path);
  }
}
