/** The example producers, as `npm run producer` starts them beside the service: a Worker in a session of its own, and a Node program. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pause } from '../../tools/harness/processes.ts';
import { type Program, startProgram } from '../support/program.ts';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');

let program: Program;
/** The commands that it prints for people to paste. */
let commands: string[];
let producer: string;
/** The event in the commands. */
let event: Record<string, unknown>;

beforeAll(async () => {
  program = startProgram('npm', ['run', 'producer']);
  await program.printed('Ctrl-C ends everything');
  commands = [...program.output().matchAll(/^ {2}((?:curl|echo) .*(?:\n {4}.*)*)/gm)].map(
    ([, text = '']) => text,
  );
  [, producer = ''] = /the producer on (\S+)\.\n/.exec(program.output()) ?? [];
  event = JSON.parse(/\{.*\}/.exec(commands[0] ?? '')?.[0] ?? '{}');
});

afterAll(async () => {
  await program?.stop();
});

async function post(query: string, body: unknown) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await fetch(`${producer}/${query}`, { method: 'POST', body: text });
  const { ids, faults } = (await answer.json()) as { ids?: string[]; faults?: { name: string }[] };
  return { status: answer.status, ids, faults: faults?.map(({ name }) => name) };
}

describe('the example producers', () => {
  it('each printed command publishes an event, and the listener gets it', async () => {
    expect(commands).toHaveLength(3);
    for (const command of commands) {
      const { stdout } = await run('bash', ['-c', command], { cwd: ROOT });
      const [id = 'no id'] = /[0-9a-f]{8}-[0-9a-f-]{27}/.exec(stdout) ?? [];
      await program.printed(`"id":"${id}"`);
    }
    expect(program.output().match(/the listener got/g)).toHaveLength(3);
  });

  it('the producer prints no noise: no stack, no warning and no table of bindings', () => {
    expect(program.output()).not.toMatch(/Request\.cf|WARNING|\n\s+at |wrangler:|env\./);
  });

  it('the producer answers a fault of an event with 400 and the list of faults', async () => {
    expect(await post('?via=rpc', { ...event, type: 'entityRenamed', sub: undefined })).toEqual({
      status: 400,
      ids: undefined,
      faults: ['type', 'sub'],
    });
    expect((await post('?via=rpc', [event, { ...event, attributes: [] }])).faults).toEqual([
      '[1].attributes',
    ]);
    expect((await post('?via=rpc', { ...event, id: '0b1f6a52-7d4b-4f0a-9d43-8d3f4c5a6b7c' })).faults).toEqual(
      ['id'],
    );
  });

  it.each([
    ['an empty body', ''],
    ['a body that is not JSON', '{"customerId":'],
    ['a body that is no event', '"entityCreated"'],
    ['an empty array', '[]'],
    ['an array of other things', '[null]'],
    ['an array of too many events', JSON.stringify(Array.from({ length: 501 }, () => ({})))],
  ])('the producer answers %s with 400 and a fault of the body, by both ways', async (_, body) => {
    for (const query of ['', '?via=rpc']) {
      expect(await post(query, body)).toEqual({ status: 400, ids: undefined, faults: ['body'] });
    }
  });

  it('the producer refuses a body that is too large for a queue message with 413', async () => {
    expect((await post('', { ...event, attributes: ['x'.repeat(100_000)] })).status).toBe(413);
  });

  it('one id by both ways makes one event for the listener', async () => {
    const { ids } = await post('', event);
    const [id] = ids ?? [];
    await program.printed(`"id":"${id}"`);
    expect(await post('?via=rpc', { ...event, id })).toMatchObject({ status: 202, ids: [id] });
    const [later] = (await post('?via=rpc', event)).ids ?? [];
    await program.printed(`"id":"${later}"`);
    expect(program.output().split(`"id":"${id}"`)).toHaveLength(2);
  });

  it('the Node producer says which line is not JSON, which fault an event has, and which settings are missing', async () => {
    const command = commands[2] ?? '';
    const of = async (text: string) =>
      await run('bash', ['-c', text], { cwd: ROOT }).then(
        () => undefined,
        ({ code, stderr }: { code: number; stderr: string }) => `${code} ${stderr.split('\n')[0]}`,
      );
    const withInput = (text: string) => command.replace(/'.*'/, `'${text}'`);
    expect(await of(withInput('{"type"'))).toBe('1 line 1 is not a JSON object');
    expect(await of(withInput(JSON.stringify({ ...event, entityType: '' })))).toMatch(
      /^1 publishEvents: the service answered 400\. .*entityType/,
    );
    expect(await of(command.replace(/CLIENT_SECRET=\S+/, 'CLIENT_SECRET='))).toBe('2 set CLIENT_SECRET');
  });

  it('everything ends when npm is killed, and the throw-away state is gone', async () => {
    const npm = program.child.pid ?? 0;
    const { stdout } = await run('ps', ['-eo', 'pid=,ppid=,args=']);
    const folders = stdout.match(/\/\S*identity-webhooks-\w{6}(?=\/state)/g) ?? [];
    const pids = descendants(npm, stdout);
    const ours = [...new Set(folders)].filter((folder) =>
      stdout.split('\n').some((line) => line.includes(folder) && pids.has(Number.parseInt(line, 10))),
    );
    expect(ours).toHaveLength(1);
    expect(pids.size).toBeGreaterThan(4);
    process.kill(npm, 'SIGKILL');
    for (const deadline = Date.now() + 60_000; ours.some(existsSync) && Date.now() < deadline; )
      await pause(100);
    expect(ours.filter(existsSync)).toEqual([]);
    const left = (await run('ps', ['-eo', 'args='])).stdout.split('\n');
    expect(left.filter((line) => ours.some((folder) => line.includes(folder)))).toEqual([]);
  });
});

/** The processes below one, of the lines `pid ppid args`. */
function descendants(root: number, lines: string): ReadonlySet<number> {
  const found = new Set([root]);
  const pairs = lines.split('\n').map((line) => line.trim().split(/\s+/, 2).map(Number));
  for (let size = 0; size < found.size; ) {
    size = found.size;
    for (const [pid = 0, parent = 0] of pairs) if (found.has(parent)) found.add(pid);
  }
  return found;
}
