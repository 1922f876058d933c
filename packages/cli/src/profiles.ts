/**
 * The file with the profiles: where each deployment is, and the credentials for it. Only its owner may read it, and it is
 * replaced as a whole, so a crash leaves the old one or the new one.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { usage } from './failure.ts';
import type { World } from './world.ts';

export interface Profile {
  /** `BASE_URL` of the service, without a slash at its end. */
  readonly url: string;
  readonly customer?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: string | undefined;
  /** What access tokens are asked for; everything without it. */
  readonly scope?: string | undefined;
  readonly operatorToken?: string | undefined;
}

export interface Profiles {
  /** The profile that a command uses without `--profile` and `IW_PROFILE`. */
  readonly current: string | undefined;
  readonly all: ReadonlyMap<string, Profile>;
}

const MEMBERS = ['url', 'customer', 'clientId', 'clientSecret', 'scope', 'operatorToken'] as const;
const OTHERS_MAY_READ = 0o077;

/** @throws Failure when this user has no home folder */
export function profilesFile(env: World['env']): string {
  const file = profilesFileIfAny(env);
  if (file !== undefined) return file;
  throw usage(
    'There is no home folder to keep profiles in.',
    'Set HOME or XDG_CONFIG_HOME, or give URL and credentials by IW_… variables: iw login --help',
  );
}

function profilesFileIfAny(env: World['env']): string | undefined {
  // XDG base directories: a path that is not absolute is ignored.
  const base = [env['XDG_CONFIG_HOME'], env['HOME'] && join(env['HOME'], '.config')].find(
    (path) => path !== undefined && isAbsolute(path),
  );
  const folder = base ?? homeOfUser();
  return folder === undefined ? undefined : join(folder, 'identity-webhooks', 'config.json');
}

/** @returns undefined for a user whom the system does not know, as in some containers */
function homeOfUser(): string | undefined {
  try {
    const home = userInfo().homedir;
    return isAbsolute(home) ? join(home, '.config') : undefined;
  } catch {
    return undefined;
  }
}

/** @returns no profiles when there is no file @throws Failure when others may read it, or it is not of this form */
export function readProfiles(env: World['env']): Profiles {
  const file = profilesFileIfAny(env);
  if (file === undefined) return { current: undefined, all: new Map() };
  const text = readPrivateFile(file);
  if (text === undefined) return { current: undefined, all: new Map() };
  try {
    return profilesIn(JSON.parse(text));
  } catch {
    throw usage(`${file} is not a file of iw.`, 'Repair it, or move it away and log in again: iw login');
  }
}

export function writeProfiles(env: World['env'], { current, all }: Profiles): void {
  const file = profilesFile(env);
  const text = `${JSON.stringify({ current, profiles: Object.fromEntries(all) }, null, 2)}\n`;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const next = `${file}.${randomUUID()}`;
  try {
    writeFileSync(next, text, { mode: 0o600, flag: 'wx' });
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
}

export function checkProfileName(name: string): string {
  if (/^[A-Za-z0-9][\w.-]{0,63}$/.test(name)) return name;
  throw usage(
    'The name of a profile has 1 to 64 letters, digits, ".", "_" and "-", and begins with a letter or a digit.',
  );
}

/**
 * Reads a file with secrets.
 * @returns undefined when there is no such file
 * @throws Failure when others than its owner may read it
 */
export function readPrivateFile(file: string): string | undefined {
  try {
    const { mode } = statSync(file);
    // Windows has no such modes.
    if (process.platform !== 'win32' && (mode & OTHERS_MAY_READ) !== 0) {
      throw usage(`${file} has secrets, and others may read it.`, `Make it yours alone: chmod 600 ${file}`);
    }
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function profilesIn(value: unknown): Profiles {
  const { current, profiles } = value as {
    current?: unknown;
    profiles: Record<string, Record<string, unknown>>;
  };
  const all = Object.entries(profiles).map(([name, members]): [string, Profile] => {
    const kept = MEMBERS.flatMap((member) =>
      typeof members[member] === 'string' ? [[member, members[member]] as const] : [],
    );
    const profile = Object.fromEntries(kept) as unknown as Profile;
    if (typeof profile.url !== 'string') throw new TypeError('a profile without a url');
    return [name, profile];
  });
  return { current: typeof current === 'string' ? current : undefined, all: new Map(all) };
}
