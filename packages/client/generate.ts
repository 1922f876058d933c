/** Makes the types and the table of operations of the client from an OpenAPI document. */
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript';

const MADE = '`npm run openapi` makes this file: change the routes, not the file.';

/** @returns the text of `src/schema.ts` */
export async function typesOf(document: object): Promise<string> {
  const types = astToString(await openapiTS(document as OpenAPI3, { immutable: true }));
  return `/** The types of docs/openapi.json. ${MADE} */\n${types}`;
}

/** @returns the text of `src/operations.ts` */
export function operationsOf(document: object): string {
  const { paths } = document as { paths: Record<string, Record<string, { operationId: string }>> };
  const rows = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { operationId }]) => `  ${operationId}: ['${method.toUpperCase()}', '${path}'],`,
    ),
  );
  return [
    `/** Method and path of each operation of docs/openapi.json. ${MADE} */`,
    'export const OPERATIONS = {',
    ...rows,
    '} as const;\n',
  ].join('\n');
}
