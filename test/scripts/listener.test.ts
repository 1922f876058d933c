/** What `npm run listener` prints for arguments that it cannot use. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const LISTENER = join(import.meta.dirname, '../../examples/listener/listener.ts');
const JWKS = ['--jwks', 'http://127.0.0.1:8787/customer/login/jwk'];

function listen(...values: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [LISTENER, ...values], { encoding: 'utf8' });
  return { status, stdout, lines: stderr.trimEnd().split('\n') };
}

describe('the arguments of the example listener', () => {
  it('the listener answers --help with its usage alone, and exit code 2', () => {
    const { status, stdout, lines } = listen('--help');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(lines).toEqual([expect.stringMatching(/^usage: npm run listener -- --jwks /)]);
  });

  it.each([
    ['no --jwks', [], '--jwks must be the URL of the keys'],
    ['a --jwks that is no URL', ['--jwks', 'notaurl'], '--jwks must be the URL of the keys'],
    ['a --jwks of another scheme', ['--jwks', 'file:///keys'], '--jwks must be the URL of the keys'],
    ['a --port that is no number', [...JWKS, '--port', 'abc'], '--port must be a number up to 65535'],
    ['a --port that is too large', [...JWKS, '--port', '65536'], '--port must be a number up to 65535'],
    ['an unknown argument', [...JWKS, '--prot', '1'], "Unknown option '--prot'"],
  ])('the listener answers %s with what is wrong, its usage and exit code 2', (_, values, fault) => {
    const { status, stdout, lines } = listen(...values);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(lines).toEqual([expect.stringContaining(fault), expect.stringMatching(/^usage: /)]);
  });
});
