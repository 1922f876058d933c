/**
 * `npm run audit`: asks the registry for advisories about the packages of the lock file.
 *
 * It fails (exit code 1) when there is an advisory of any severity for a package that the Worker may contain, or one of
 * high or critical severity for any other package. Where no registry answers, it says so and succeeds: a build must not
 * depend on a service that is away. `-- --require-answer` makes it fail then, too.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

interface Report {
  /** Present when the registry answered. */
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
  /** Why it did not. */
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const { values } = parseArgs({ options: { 'require-answer': { type: 'boolean', default: false } } });

const all = ask([]);
if (all.vulnerabilities === undefined) noAnswer(all);
const found = Object.entries(all.vulnerabilities ?? {});
if (found.length === 0) {
  console.log('audit: the registry knows no advisory about a package of the lock file');
  process.exit(0);
}
const ofWorker = ask(['--omit=dev']);
if (ofWorker.vulnerabilities === undefined) noAnswer(ofWorker);
const deployed = new Set(Object.keys(ofWorker.vulnerabilities ?? {}));
let failures = 0;
for (const [name, { severity, range }] of found) {
  const fails = deployed.has(name) || severity === 'high' || severity === 'critical';
  failures += fails ? 1 : 0;
  console.log(
    `audit: ${fails ? 'FAILS' : 'noted'} ${name} ${range}: ${severity}${deployed.has(name) ? ', in the Worker' : ''}`,
  );
}
console.log('audit: `npm audit` has the details');
process.exit(failures > 0 ? 1 : 0);

function ask(flags: readonly string[]): Report {
  const result = spawnSync('npm', ['audit', '--json', ...flags], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    shell: process.platform === 'win32',
  });
  try {
    return JSON.parse(result.stdout) as Report;
  } catch {
    return { message: `npm audit printed no JSON (exit code ${result.status})` };
  }
}

function noAnswer({ message, error }: Report): never {
  // The address of a registry is nobody's business in a log.
  const why = (error?.summary || message || 'no reason given').replace(/ - \w+ https?:\S+/, '').slice(0, 200);
  console.log(`audit: NO REGISTRY ANSWERED (${why}): nobody looked for advisories`);
  process.exit(values['require-answer'] ? 1 : 0);
}
