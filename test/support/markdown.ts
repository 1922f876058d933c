/** Reads documents: their links, the anchors of their headings, and their blocks of code. */

/** A block of code. The first word after the fence is its language; the others say how it is tested (CONTRIBUTING.md). */
export interface Block {
  readonly language: string;
  readonly marks: readonly string[];
  readonly code: string;
  /** Line of the fence, from 1. */
  readonly line: number;
}

export interface Link {
  /** A path relative to the document; empty for a link within the document. */
  readonly path: string;
  /** Without `#`. */
  readonly anchor: string | undefined;
}

const FENCE = /^```(.*)\n([\s\S]*?)^```$/gm;

export function blocksIn(text: string): Block[] {
  return [...text.matchAll(FENCE)].map(({ index, 1: info = '', 2: code = '' }) => {
    const [language = '', ...marks] = info.trim().split(/\s+/);
    return { language, marks, code, line: text.slice(0, index).split('\n').length };
  });
}

function withoutCode(text: string): string {
  return text.replace(FENCE, '').replace(/`[^`\n]*`/g, '');
}

/** Links to files of the project and within the document; those to other sites are left out. */
export function linksIn(text: string): Link[] {
  const found = withoutCode(text).matchAll(/\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]*))?\)/g);
  return [...found].map(([, path = '', anchor]) => ({ path, anchor }));
}

/** The anchors that GitHub gives to headings. */
export function anchorsIn(text: string): ReadonlySet<string> {
  const anchors = new Set<string>();
  for (const [, heading = ''] of text.replace(FENCE, '').matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = shown
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}
