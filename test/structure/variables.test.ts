/** Checks that every place that lists the variables and secrets of a deployment lists all of them (contract 10.6). */
import { describe, expect, it } from 'vitest';
import { read } from './source.ts';

const SECRETS = ['OPERATOR_TOKEN', 'KEY_ENCRYPTION_KEY', 'KEY_ENCRYPTION_KEY_PREVIOUS', 'TOKEN_SIGNING_KEY'];

const config = read('src/config.ts');
const schema = config.slice(config.indexOf('const Variables = z.object({'));
const names = [...schema.slice(0, schema.indexOf('\n});')).matchAll(/^ {2}([A-Z][A-Z_]+):/gm)].map(
  ([, name = '']) => name,
);
const contract = read('docs/contract.md');

const PLACES = {
  'src/env.ts': read('src/env.ts'),
  'README.md': read('README.md'),
  'section 10.6 of docs/contract.md': contract.slice(contract.indexOf('### 10.6')),
  'wrangler.toml': read('wrangler.toml'),
  'test/config.test.ts': read('test/config.test.ts'),
};

describe('the variables of a deployment', () => {
  it('the schema of the configuration has variables and secrets', () => {
    expect(names.length).toBeGreaterThan(12);
    expect(names).toEqual(expect.arrayContaining(SECRETS));
  });

  it.each(Object.entries(PLACES))('%s lists every variable and secret', (_, text) => {
    expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(text))).toEqual([]);
  });

  it('wrangler.toml gives every variable a value, and no secret', () => {
    const given = [...read('wrangler.toml').matchAll(/^([A-Z][A-Z_]+) = /gm)].map(([, name = '']) => name);
    expect(given.toSorted()).toEqual(names.filter((name) => !SECRETS.includes(name)).toSorted());
  });
});

describe("the requirements of Cloudflare's deploy button", () => {
  const { scripts, cloudflare } = JSON.parse(read('package.json')) as {
    scripts: Record<string, string>;
    cloudflare: { bindings: Record<string, { description: string }> };
  };
  const toml = read('wrangler.toml');
  const required = SECRETS.filter((name) => name !== 'KEY_ENCRYPTION_KEY_PREVIOUS');

  it('package.json has a deploy script, and describes every store, queue and secret that a form asks for', () => {
    expect(scripts['deploy']).toBeDefined();
    const bindings = [...toml.matchAll(/^binding = "([A-Z_]+)"/gm)].map(([, name = '']) => name);
    const described = Object.keys(cloudflare.bindings);
    expect(described).toEqual(expect.arrayContaining([...bindings, ...required]));
    expect(described.filter((name) => ![...bindings, ...names].includes(name))).toEqual([]);
    for (const { description } of Object.values(cloudflare.bindings))
      expect(description).toMatch(/^[A-Z].*\.$/);
  });

  it('.dev.vars.example names the secrets that a deployment needs, without values', () => {
    const lines = read('.dev.vars.example')
      .split('\n')
      .filter((line) => /^[A-Z]/.test(line));
    expect(lines).toEqual(required.map((name) => `${name}=`));
  });
});

describe('the consumers of wrangler.toml', () => {
  it('wrangler.toml gives every consumer the number of retries that the code counts', () => {
    const [, counted] = /QUEUE_MAX_RETRIES = (\d+)/.exec(read('src/outbound/queues.ts')) ?? [];
    const given = [...read('wrangler.toml').matchAll(/^max_retries = (\d+)/gm)].map(([, number]) => number);
    expect(new Set(given)).toEqual(new Set([counted]));
    expect(given).toHaveLength([...read('wrangler.toml').matchAll(/^\[\[queues\.consumers\]\]/gm)].length);
  });
});

describe('the limits of wrangler.toml', () => {
  it('wrangler.toml has the limits that the contract, the answers and SECURITY.md name', () => {
    const given = [
      ...read('wrangler.toml').matchAll(
        /^name = "([A-Z_]+)"\n.*\nsimple = \{ limit = (\d+), period = (\d+) \}/gm,
      ),
    ].map(([, name = '', limit, period]) => [name, [Number(limit), Number(period)]]);
    expect(Object.fromEntries(given)).toEqual({
      FAILED_AUTH_BY_CLIENT: [20, 60],
      FAILED_AUTH_BY_ADDRESS: [200, 60],
      MANAGEMENT_CALLS: [1000, 10],
      COSTLY_WORK: [250, 10],
      TESTS: [60, 60],
      PUBLIC_LOOK_UPS: [200, 10],
    });
  });
});
