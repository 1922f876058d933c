/** The stories, each run as a user runs it. A story checks itself, and ends with exit code 1 if it does not go as it says. */
import { afterEach, describe, expect, it } from 'vitest';
import { type Program, startProgram } from '../support/program.ts';

let program: Program | undefined;

afterEach(async () => {
  await program?.stop();
});

async function tell(script: string): Promise<string> {
  program = startProgram('npm', ['run', '--silent', script]);
  const code = await program.ended();
  expect(code, program.output()).toBe(0);
  return program.output();
}

describe('the stories', () => {
  it('the story of the alarm raises one alarm for one flurry', async () => {
    const told = await tell('story:alarm');
    expect(told.match(/No alarm: /g)).toHaveLength(3);
    expect(told.match(/ALARM: /g)).toHaveLength(1);
    expect(told).toContain('No second alarm');
  });

  it('the story of the copy mails the two users who asked and did not cancel', async () => {
    const told = await tell('story:profile-copy');
    expect(told.match(/ to \w+@example\.com/g)).toEqual([' to ann@example.com', ' to cleo@example.com']);
    expect(told).toContain('No second mail');
  });
});
