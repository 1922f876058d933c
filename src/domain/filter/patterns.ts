/** The patterns of one filter: each is compiled once, however often the filter has it, and before that its cost is limited. */
import { FILTER_MAX_STEPS, FILTER_PATTERN_MAX_CHARACTERS, FILTER_PATTERNS_MAX_SIZE } from '../limits.ts';
import { type Automaton, compilePattern, stepsToCompile } from './automaton.ts';

/** Characters of RE2's own words that a refusal repeats. */
const WORDS_MAX_CHARACTERS = 120;

export class Patterns {
  readonly #compiled = new Map<string, Automaton>();
  #size = 0;
  #buildSteps = 0;

  /** Steps to build all of them. */
  get buildSteps(): number {
    return this.#buildSteps;
  }

  /** What they keep in memory, about. */
  get bytes(): number {
    return [...this.#compiled.values()].reduce((total, { bytes }) => total + bytes, 0);
  }

  /**
   * Compiles a pattern whatever it costs: that of a filter that was accepted.
   * @throws Error when RE2 cannot express it
   */
  get(pattern: string): Automaton {
    let automaton = this.#compiled.get(pattern);
    if (automaton === undefined) {
      automaton = compilePattern(pattern);
      this.#compiled.set(pattern, automaton);
      this.#size += automaton.size;
      this.#buildSteps += automaton.buildSteps;
    }
    return automaton;
  }

  /** Compiles a pattern of a filter that nobody has accepted yet. @returns why it is refused, or `undefined` */
  accept(pattern: string): string | undefined {
    if (pattern.length > FILTER_PATTERN_MAX_CHARACTERS)
      return `must have at most ${FILTER_PATTERN_MAX_CHARACTERS} characters`;
    if (this.#compiled.has(pattern)) return undefined;
    if (this.#buildSteps + stepsToCompile(pattern) > FILTER_MAX_STEPS) return this.#tooManySteps();
    let automaton: Automaton;
    try {
      automaton = this.get(pattern);
    } catch (error) {
      return `must be a regular expression of RE2: ${wordsOf(error)}`;
    }
    if (this.#size > FILTER_PATTERNS_MAX_SIZE)
      return `makes the patterns of this filter larger than ${FILTER_PATTERNS_MAX_SIZE} instructions together: repeat less, or use fewer patterns`;
    if (!automaton.isTable) return 'must be a regular expression with fewer states: repeat less';
    return this.#buildSteps > FILTER_MAX_STEPS ? this.#tooManySteps() : undefined;
  }

  #tooManySteps(): string {
    return `makes the patterns of this filter take more than ${FILTER_MAX_STEPS} steps to build: use fewer patterns, fewer classes such as \\p{L}, and smaller repetitions`;
  }
}

/** What RE2 says of a pattern it refuses: it quotes a part of the pattern, so the words are made short and plain. */
function wordsOf(error: unknown): string {
  const words = error instanceof Error ? error.message : 'not understood';
  return words
    .replace(/^error parsing regexp: /, '')
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, WORDS_MAX_CHARACTERS);
}
