/** Checks the prose of the project: words that make a reader stop, and references to the contract that lead nowhere. */
import { describe, expect, it } from 'vitest';
import { codeFiles, commentsIn, documentFiles, read, stringsIn } from './source.ts';

const GLOSSARY = read('docs/glossary.md');

/** The phrases that the last section of the glossary lists, in the left column of its table. */
const PHRASES_TO_AVOID = [
  ...GLOSSARY.slice(GLOSSARY.indexOf('## Phrases in prose')).matchAll(/^\| ([^|]+) \|/gm),
]
  .flatMap(([, cell = '']) => cell.split(', '))
  .filter((phrase) => !/^-+$|^Do not write$|…/.test(phrase));

// The table lists a turn that is good English after "there".
const AVOIDED = new RegExp(`(?<!\\bthere )\\b(?:${PHRASES_TO_AVOID.join('|')})\\b`, 'i');

const sources = codeFiles().map((file) => ({ file, text: read(file) }));
const documents = documentFiles();

/** Lines of a text that hold a phrase to avoid. */
function linesWithPhrases(text: string): string[] {
  // A phrase may be broken over two lines of a comment.
  const joined = text.replace(/\n\s*(?:\*|\/\/)?\s*/g, ' ');
  return AVOIDED.test(joined)
    ? text
        .split('\n')
        .filter((line) => AVOIDED.test(line))
        .concat(joined)
        .slice(0, 1)
    : [];
}

/** The titles of a test file. */
function titlesIn(text: string): string[] {
  const title = /\b(?:it|test|describe)(?:\.each\([\s\S]*?\))?\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;
  return [...text.matchAll(title)].map(([, , content = '']) => content);
}

/** The titles of the facts of a test file, without those of its groups. */
function factsIn(text: string): string[] {
  const title = /\bit(?:\.each(?:<[^>]*>)?\((?:[^()]|\([^()]*\))*\))?\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;
  return [...text.matchAll(title)].map(([, , content = '']) => content);
}

describe('phrases to avoid', () => {
  it('no comment contains a phrase to avoid', () => {
    const found = sources.flatMap(({ file, text }) =>
      commentsIn(text).flatMap((comment) =>
        linesWithPhrases(comment).map((line) => `${file}: ${line.trim()}`),
      ),
    );
    expect(found).toEqual([]);
  });

  it('no text of src contains a phrase to avoid: log lines, errors and descriptions', () => {
    const found = sources
      .filter(({ file }) => file.startsWith('src/'))
      .flatMap(({ file, text }) =>
        stringsIn(text)
          .filter((string) => AVOIDED.test(string))
          .map((string) => `${file}: ${string}`),
      );
    expect(found).toEqual([]);
  });

  it('no test title contains a phrase to avoid', () => {
    const found = sources
      .filter(({ file }) => file.endsWith('.test.ts'))
      .flatMap(({ file, text }) =>
        titlesIn(text)
          .filter((title) => AVOIDED.test(title))
          .map((title) => `${file}: ${title}`),
      );
    expect(found).toEqual([]);
  });

  it('every test title names its subject: none begins with a verb, a preposition or "and"', () => {
    const halfSentence =
      /^(?:is|are|has|have|does|makes|answers|refuses|finds|keeps|stores|sends|shows|takes|and|or|but|in|of|with|when|while|for|by|from|to|at|about|after|before|because|also|not|then|without|should)\b/;
    const facts = sources
      .filter(({ file }) => file.endsWith('.test.ts'))
      .flatMap(({ file, text }) => factsIn(text).map((title) => ({ file, title })));
    expect(facts.length).toBeGreaterThan(800);
    expect(facts.filter(({ title }) => halfSentence.test(title))).toEqual([]);
  });

  it.each(documents)('the document %s contains no phrase to avoid', (document) => {
    const text = read(document);
    // The glossary names the phrases: in the table at its end, and after "Avoid".
    const prose = document === 'docs/glossary.md' ? text.slice(0, text.indexOf('## Phrases in prose')) : text;
    const found = prose
      .split('\n')
      // Code in backquotes is quoted, not written: the changelog names old log events.
      .filter((line) => AVOIDED.test(line.replace(/`[^`]*`/g, '')) && !line.includes('*Avoid:*'));
    expect(found).toEqual([]);
  });

  it('the glossary lists the phrases to avoid', () => {
    expect(PHRASES_TO_AVOID).toContain('stands in');
    expect(PHRASES_TO_AVOID.length).toBeGreaterThan(25);
  });

  it('the search finds a phrase that is broken over two lines of a comment', () => {
    expect(linesWithPhrases('/**\n * what is held is let\n * go\n */')).toHaveLength(1);
    expect(linesWithPhrases('/** The backlog releases held deliveries. */')).toEqual([]);
  });
});

describe('references to the contract', () => {
  const headings = new Set(
    [...read('docs/contract.md').matchAll(/^#+ (\d+(?:\.\d+)?)\.? /gm)].map(([, number]) => number),
  );
  /** Section numbers in a text: "contract 10.4", "contract 3.8 and 7", "contract 10.3 or 10.4". */
  function sectionsIn(text: string): string[] {
    const joined = text.replace(/\n\s*(?:\*|\/\/)?\s*/g, ' ');
    return [
      ...joined.matchAll(/\bcontract,? (?:section |sections )?((?:\d+(?:\.\d+)?(?:, | and | or | to )?)+)/gi),
    ].flatMap(([, numbers = '']) => numbers.match(/\d+(?:\.\d+)?/g) ?? []);
  }

  it('the contract has a heading for every section', () => {
    expect(headings.size).toBe(43);
  });

  it('every section of the contract that code, tests or documents cite is a heading', () => {
    const texts = [
      ...sources.map(({ file, text }) => ({ file, text: commentsIn(text).join('\n') })),
      ...documents.map((file) => ({ file, text: read(file) })),
    ];
    const cited = texts.flatMap(({ file, text }) => sectionsIn(text).map((section) => ({ file, section })));
    expect(cited.length).toBeGreaterThan(120);
    expect(cited.filter(({ section }) => !headings.has(section))).toEqual([]);
  });

  it('the reader of references finds one section, several, and one after a line break', () => {
    expect(sectionsIn('see contract 10.4')).toEqual(['10.4']);
    expect(sectionsIn('(contract 3.8 and 7)')).toEqual(['3.8', '7']);
    expect(sectionsIn('Contract\n * 10.1')).toEqual(['10.1']);
  });
});
