/** Reads the project's files for the structure tests: modules of src with their imports, comments, and documents. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');

export interface Import {
  /** A path below src, or the name of a package. */
  readonly target: string;
  readonly ours: boolean;
  /** Whether the import is gone at run time. */
  readonly typeOnly: boolean;
}

export interface Module {
  /** Below src. */
  readonly path: string;
  /** Without comments. */
  readonly text: string;
  readonly imports: readonly Import[];
}

/** Files of the project that match, with paths from the root; installed and made files are left out. */
export function filesOf(...patterns: readonly string[]): string[] {
  return globSync([...patterns], {
    cwd: ROOT,
    exclude: (name) => /^(node_modules|dist|\.wrangler|\.git)$/.test(name),
  })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !path.includes('node_modules/') && !path.endsWith('.d.ts'))
    .sort();
}

/** All TypeScript that people write here. */
export function codeFiles(): string[] {
  const folders = ['src', 'apps', 'test', 'tools', 'scripts', 'packages', 'examples'];
  return filesOf(...folders.map((folder) => `${folder}/**/*.{ts,tsx}`), 'vitest.config.ts');
}

/** All documents. */
export function documentFiles(): string[] {
  return filesOf(
    '*.md',
    ...['docs', 'apps', 'test', 'tools', 'packages', 'examples'].map((folder) => `${folder}/**/*.md`),
  );
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** All modules of src. */
export function modulesOfSrc(): Module[] {
  return filesOf('src/**/*.ts').map((file) => {
    const path = file.slice('src/'.length);
    const text = withoutComments(read(file));
    return { path, text, imports: importsOf(path, text) };
  });
}

/** A string, a template, a regular expression literal or a comment: whatever begins first. */
const TOKEN =
  /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`|(?<=[(,=:[!&|?{};\n]\s*)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;

const isComment = (token: string) => token.startsWith('/*') || token.startsWith('//');

/** The comments of a source file, each as written. */
export function commentsIn(text: string): string[] {
  return [...text.matchAll(TOKEN)].map(([token]) => token).filter(isComment);
}

/** The strings and templates of a source file, each as written. */
export function stringsIn(text: string): string[] {
  return [...text.matchAll(TOKEN)].map(([token]) => token).filter((token) => /^['"`]/.test(token));
}

export function withoutComments(text: string): string {
  return text.replace(TOKEN, (token) => (isComment(token) ? '' : token));
}

export function importsOf(path: string, text: string): Import[] {
  const statement = /^(?:import|export)\s+(type\s+)?(?:([\w*{][^'";=]*?)\s+from\s+)?'([^']+)';/gm;
  return [...text.matchAll(statement)].map(([, type, clause = '', target = '']) => {
    const ours = target.startsWith('.');
    return {
      target: ours ? normalize(join(dirname(path), target)) : target,
      ours,
      typeOnly: type !== undefined || /^\{(\s*type\s[^,}]+,?)+\s*\}$/.test(clause),
    };
  });
}
