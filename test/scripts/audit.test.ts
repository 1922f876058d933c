/** Runs `npm run audit` with an npm that answers as a registry does, or does not. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'audit-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Answers {
  /** Of `npm audit`. */
  readonly all: unknown;
  /** Of `npm audit --omit=dev`. */
  readonly deployed?: unknown;
}

function audit({ all, deployed }: Answers, ...flags: string[]): { status: number | null; printed: string } {
  const npm = join(folder, 'npm');
  const script = `#!/bin/sh
case "$*" in
  "audit --json") printf '%s' '${JSON.stringify(all)}' ;;
  "audit --json --omit=dev") printf '%s' '${JSON.stringify(deployed)}' ;;
  *) exit 9 ;;
esac
exit 1
`;
  writeFileSync(npm, script);
  chmodSync(npm, 0o755);
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}` };
  const { status, stdout } = spawnSync(process.execPath, [join(ROOT, 'scripts/audit.ts'), ...flags], {
    env,
    encoding: 'utf8',
  });
  return { status, printed: stdout };
}

const none = { vulnerabilities: {} };
const with1 = (name: string, severity: string) => ({
  vulnerabilities: { [name]: { severity, range: '<2' } },
});
const refused = {
  message: '405 Method Not Allowed - POST https://registry.example/advisories',
  error: { summary: '' },
};

describe('the audit of advisories', () => {
  it('an audit without advisories succeeds', () => {
    const { status, printed } = audit({ all: none });
    expect(printed).toContain('knows no advisory');
    expect(status).toBe(0);
  });

  it('an advisory of low severity fails the audit when its package is in the Worker', () => {
    const { status, printed } = audit({ all: with1('hono', 'low'), deployed: with1('hono', 'low') });
    expect(printed).toContain('FAILS hono <2: low, in the Worker');
    expect(status).toBe(1);
  });

  it('an advisory about a tool fails the audit from high severity on', () => {
    expect(audit({ all: with1('wrangler', 'moderate'), deployed: none }).status).toBe(0);
    expect(audit({ all: with1('wrangler', 'high'), deployed: none }).status).toBe(1);
  });

  it('an audit that no registry answers says so, without an address, and succeeds', () => {
    const { status, printed } = audit({ all: refused });
    expect(printed).toContain('NO REGISTRY ANSWERED (405 Method Not Allowed)');
    expect(printed).not.toContain('registry.example');
    expect(status).toBe(0);
  });

  it('an audit that must have an answer fails without one', () => {
    expect(audit({ all: refused }, '--require-answer').status).toBe(1);
  });

  it('an answer that is no JSON counts as none', () => {
    expect(audit({ all: undefined }, '--require-answer').status).toBe(1);
  });
});
