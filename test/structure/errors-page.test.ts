/**
 * docs/errors.md is made from the table of errors. To make it again after a change of the table:
 * UPDATE_DOCS=1 npx vitest run test/structure/errors-page.test.ts
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ApiError } from '../../src/domain/errors.ts';
import { ERRORS, type ErrorRow, onTheWire } from '../../src/http/kit/error-table.ts';

const PAGE = join(import.meta.dirname, '../../docs/errors.md');

const INTRODUCTION = `# Errors

<!-- Made from src/http/kit/error-table.ts by test/structure/errors-page.test.ts, which also says how. Do not edit. -->

Every error that the service can answer, in the order of the contract's table (contract 8).

- A client decides by the status, and by \`type\` where a status has several. \`details\` and \`reason\` are for people and may
  change.
- The code is the name of the error in the source. It is not on the wire.
- Every answer carries \`X-Request-Id\`. The log of the service names a 500 or a 503 by it.
- Where several errors hold, the service answers with the first of these: 429 of the limit on guesses, 403, 429 of the limit on
  management calls, 404 for the route, 405, 429 of the limit on look-ups of keys, 404 for the resource, 413, 415, 400, 429 of the
  limit on costly work, 409, 429 of a redelivery or an export.
- \`POST /{cid}/login/token\` has errors of its own, those of RFC 6749, 5.2 (contract 2): 400 \`invalid_request\`,
  \`unsupported_grant_type\` or \`invalid_scope\`, 401 \`invalid_client\`, and 429 \`temporarily_unavailable\` with \`Retry-After\`:
  the credentials were not checked, because too many failed before.
`;

const rows = Object.entries(ERRORS) as [ApiError['code'], ErrorRow<ApiError>][];

function typeOf(row: ErrorRow<ApiError>): string {
  const { type } = onTheWire(row.example).body as { type?: string };
  return type === undefined ? '' : `\`${type}\``;
}

/** `retry-after` as documents write it: `Retry-After`. */
function canonical(header: string): string {
  return header.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
}

function overview(): string {
  const lines = rows.map(([code, row]) => `| ${row.status} | ${typeOf(row)} | [\`${code}\`](#${code}) |`);
  return ['| Status | `type` | Code |', '|---|---|---|', ...lines].join('\n');
}

function section([code, row]: (typeof rows)[number]): string {
  const { status, body, headers } = onTheWire(row.example);
  const named = Object.entries(headers).map(([name, value]) => `\`${canonical(name)}: ${value}\``);
  return [
    `## ${code}`,
    `**${status}**${named.length === 0 ? '' : `, with ${named.join(', ')}`}`,
    `*When:* ${row.when}`,
    `*What a client does:* ${row.client}`,
    `\`\`\`json\n${JSON.stringify(body, null, 2)}\n\`\`\``,
  ].join('\n\n');
}

const page = `${[INTRODUCTION.trimEnd(), overview(), ...rows.map(section)].join('\n\n')}\n`;

describe('docs/errors.md', () => {
  it('docs/errors.md says what the table of errors says', () => {
    if (process.env['UPDATE_DOCS'] !== undefined) writeFileSync(PAGE, page);
    expect(readFileSync(PAGE, 'utf8')).toBe(page);
  });

  it('every error has a body whose status is that of the answer', () => {
    for (const [code, row] of rows) {
      const { status, body } = onTheWire(row.example);
      expect(row.example.code).toBe(code);
      if (code !== 'forbidden') expect(body, code).toMatchObject({ status, title: /./ });
    }
  });

  it('every error that a client may repeat promises Retry-After', () => {
    const repeated = rows.filter(([, { client }]) => client.includes('Retry-After')).map(([code]) => code);
    const withHeader = rows.filter(([, row]) => 'retry-after' in onTheWire(row.example).headers);
    expect(repeated).toEqual(withHeader.map(([code]) => code));
  });
});
