// Regular expressions of other people, matched in time that grows with pattern times text and no faster: all states of the pattern
// are followed at once. The platform's own would let one framework stop the master with `(a+)+$`.
//
// The syntax is RE2's, as far as it means something for one line of text: no back references and no looking around (RE2 has neither),
// no Unicode classes. A pattern matches a text as a whole. Source: Mesos offer_constraints_filter.cpp.

/** Steps of one compiled pattern, as RE2 counts instructions. Source: Mesos offer_constraints_re2_max_program_size is 100. */
export const PATTERN_STEPS_MAX = 200;
/** Largest count in `x{n,m}`. */
const REPEAT_MAX = PATTERN_STEPS_MAX;
/** Groups within groups. */
const DEPTH_MAX = 50;

/** Both ends belong to it. */
type LetterRange = readonly [from: number, to: number];

interface LetterSet {
  /** Apart and in order, once they are a step's: a set with hundreds of them is asked again and again. */
  readonly ranges: readonly LetterRange[];
  readonly isNegated: boolean;
}

type Place = "begin" | "end" | "word-edge" | "no-word-edge";

type Node =
  | { readonly type: "letter"; readonly set: LetterSet }
  | { readonly type: "place"; readonly place: Place }
  | { readonly type: "sequence"; readonly parts: readonly Node[] }
  | { readonly type: "choice"; readonly parts: readonly Node[] }
  /** `max` undefined: without end. */
  | { readonly type: "repeat"; readonly part: Node; readonly min: number; readonly max: number | undefined };

type Step =
  | { readonly type: "letter"; readonly set: LetterSet; readonly next: number }
  | { readonly type: "place"; readonly place: Place; readonly next: number }
  | { readonly type: "fork"; readonly next: readonly number[] }
  | { readonly type: "match" };

export interface Pattern {
  readonly steps: readonly Step[];
  readonly start: number;
}

export type CompiledPattern =
  | { readonly type: "compiled"; readonly pattern: Pattern }
  | { readonly type: "refused"; readonly reason: string };

class PatternProblem extends Error {}

/** Refuses what is no pattern, what we do not support, and what is too large. */
export function compilePattern(text: string): CompiledPattern {
  try {
    return { type: "compiled", pattern: assemble(new Parser(text).parse()) };
  } catch (error) {
    if (!(error instanceof PatternProblem)) throw error;
    return { type: "refused", reason: `'${text.slice(0, 100)}' is not a pattern that we can use: ${error.message}` };
  }
}

export function matchesWhole({ steps, start }: Pattern, text: string): boolean {
  const letters = [...text].map((letter) => letter.codePointAt(0) ?? 0);
  let current = new Set<number>();
  reach(current, start, 0);
  for (const [at, letter] of letters.entries()) {
    const following = new Set<number>();
    for (const index of current) {
      const step = steps[index];
      if (step?.type === "letter" && isIn(step.set, letter)) reach(following, step.next, at + 1);
    }
    if (following.size === 0) return false;
    current = following;
  }
  return [...current].some((index) => steps[index]?.type === "match");

  /** Adds a step with all that is reached from it without a letter. */
  function reach(set: Set<number>, first: number, at: number): void {
    const open = [first];
    for (let index = open.pop(); index !== undefined; index = open.pop()) {
      const step = steps[index];
      if (step === undefined || set.has(index)) continue;
      set.add(index);
      if (step.type === "fork") open.push(...step.next);
      else if (step.type === "place" && isAt(step.place, letters, at)) open.push(step.next);
    }
  }
}

const DIGIT: readonly LetterRange[] = [[0x30, 0x39]];
const UPPER: readonly LetterRange[] = [[0x41, 0x5a]];
const LOWER: readonly LetterRange[] = [[0x61, 0x7a]];
const WORD: readonly LetterRange[] = [...DIGIT, ...UPPER, ...LOWER, [0x5f, 0x5f]];
const SPACE: readonly LetterRange[] = [
  [0x09, 0x0a],
  [0x0c, 0x0d],
  [0x20, 0x20],
];
const LETTER_MAX = 0x10_ffff;

function isIn({ ranges, isNegated }: LetterSet, letter: number): boolean {
  let [from, to] = [0, ranges.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    const [, end] = ranges[middle] ?? [0, LETTER_MAX];
    if (end < letter) from = middle + 1;
    else to = middle;
  }
  const found = ranges[from];
  return (found !== undefined && found[0] <= letter) !== isNegated;
}

function apart(ranges: readonly LetterRange[]): readonly LetterRange[] {
  const joined: LetterRange[] = [];
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) joined[joined.length - 1] = [last[0], Math.max(last[1], to)];
    else joined.push([from, to]);
  }
  return joined;
}

const isWord = (letter: number | undefined): boolean =>
  letter !== undefined && isIn({ ranges: WORD, isNegated: false }, letter);

function isAt(place: Place, letters: readonly number[], at: number): boolean {
  switch (place) {
    case "begin":
      return at === 0;
    case "end":
      return at === letters.length;
    default:
      return (isWord(letters[at - 1]) !== isWord(letters[at])) === (place === "word-edge");
  }
}

/** From the end to the beginning, so that each step knows where it leads. */
function assemble(node: Node): Pattern {
  const steps: Step[] = [{ type: "match" }];
  const start = build(node, 0);
  return { steps, start };

  function emit(step: Step): number {
    if (steps.length >= PATTERN_STEPS_MAX) throw new PatternProblem(`it has more than ${PATTERN_STEPS_MAX} steps`);
    return steps.push(step) - 1;
  }

  function build(part: Node, next: number): number {
    switch (part.type) {
      case "letter":
        return emit({ type: "letter", set: { ...part.set, ranges: apart(part.set.ranges) }, next });
      case "place":
        return emit({ type: "place", place: part.place, next });
      case "sequence":
        return part.parts.reduceRight((after, one) => build(one, after), next);
      case "choice":
        return emit({ type: "fork", next: part.parts.map((one) => build(one, next)) });
      case "repeat": {
        let after = next;
        if (part.max === undefined) {
          const loop = emit({ type: "fork", next: [] });
          steps[loop] = { type: "fork", next: [build(part.part, loop), next] };
          after = loop;
        } else {
          for (let i = part.min; i < part.max; i++)
            after = emit({ type: "fork", next: [build(part.part, after), next] });
        }
        for (let i = 0; i < part.min; i++) {
          const stepsBefore = steps.length;
          after = build(part.part, after);
          // Nothing, however often, is nothing: `((((){200}){200}){200})` would be counted out for ever.
          if (steps.length === stepsBefore) break;
        }
        return after;
      }
    }
  }
}

interface Flags {
  readonly ignoresCase: boolean;
  readonly dotIsAll: boolean;
}

const CLASSES: Readonly<Record<string, readonly LetterRange[]>> = {
  alnum: [...DIGIT, ...UPPER, ...LOWER],
  alpha: [...UPPER, ...LOWER],
  ascii: [[0, 0x7f]],
  blank: [
    [0x09, 0x09],
    [0x20, 0x20],
  ],
  digit: DIGIT,
  lower: LOWER,
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [0x09, 0x0d],
    [0x20, 0x20],
  ],
  upper: UPPER,
  word: WORD,
  xdigit: [...DIGIT, [0x41, 0x46], [0x61, 0x66]],
};

const CONTROLS: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

const complement = (ranges: readonly LetterRange[]): readonly LetterRange[] => {
  const holes: LetterRange[] = [];
  let next = 0;
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    if (from > next) holes.push([next, from - 1]);
    next = Math.max(next, to + 1);
  }
  if (next <= LETTER_MAX) holes.push([next, LETTER_MAX]);
  return holes;
};

class Parser {
  readonly #letters: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    this.#letters = [...text];
  }

  parse(): Node {
    const [node] = this.#choice({ ignoresCase: false, dotIsAll: false });
    if (this.#at < this.#letters.length) throw new PatternProblem("a ')' without its '('");
    return node;
  }

  #peek(ahead = 0): string | undefined {
    return this.#letters[this.#at + ahead];
  }

  #take(letter: string): boolean {
    if (this.#peek() !== letter) return false;
    this.#at += 1;
    return true;
  }

  /** Flags that are set on the way hold until the group ends. */
  #choice(flags: Flags): [Node, Flags] {
    const parts: Node[] = [];
    let now = flags;
    do {
      const [part, after] = this.#sequence(now);
      parts.push(part);
      now = after;
    } while (this.#take("|"));
    const [only] = parts;
    return [parts.length === 1 && only !== undefined ? only : { type: "choice", parts }, now];
  }

  #sequence(flags: Flags): [Node, Flags] {
    const parts: Node[] = [];
    let now = flags;
    for (let letter = this.#peek(); letter !== undefined && letter !== "|" && letter !== ")"; letter = this.#peek()) {
      if (letter === "(" && this.#peek(1) === "?" && !isGroupStart(this.#peek(2), this.#peek(3))) {
        const set = this.#flags(now);
        if (set.isGroup) parts.push(this.#repeated(this.#closed(set.flags)));
        else now = set.flags;
      } else parts.push(this.#repeated(this.#atom(now)));
    }
    return [{ type: "sequence", parts }, now];
  }

  #atom(flags: Flags): Node {
    const letter = this.#letters[this.#at++] ?? "";
    switch (letter) {
      case "(":
        this.#groupName();
        return this.#closed(flags);
      case "[":
        return { type: "letter", set: this.#set(flags) };
      case ".":
        return { type: "letter", set: { ranges: flags.dotIsAll ? [] : [[10, 10]], isNegated: true } };
      case "^":
        return { type: "place", place: "begin" };
      case "$":
        return { type: "place", place: "end" };
      case "\\":
        return this.#escaped(flags);
      case "*":
      case "+":
      case "?":
        throw new PatternProblem(`'${letter}' repeats nothing`);
      default:
        return this.#literal(letter.codePointAt(0) ?? 0, flags);
    }
  }

  /** What is in a group, up to its `)`. */
  #closed(flags: Flags): Node {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw new PatternProblem(`more than ${DEPTH_MAX} groups within each other`);
    const [node] = this.#choice(flags);
    if (!this.#take(")")) throw new PatternProblem("a '(' without its ')'");
    this.#depth -= 1;
    return node;
  }

  /** Behind a `(`: `?:`, `?P<name>` and `?<name>` change nothing for us. */
  #groupName(): void {
    if (this.#peek() !== "?") return;
    this.#at += 1;
    if (this.#take(":")) return;
    this.#take("P");
    if (!this.#take("<") || this.#peek() === "=" || this.#peek() === "!")
      throw new PatternProblem("it looks around, which is not supported");
    let name = "";
    while (this.#peek() !== undefined && this.#peek() !== ">") name += this.#letters[this.#at++] ?? "";
    if (!this.#take(">") || !/^\w+$/.test(name)) throw new PatternProblem("the name of a group is not one");
  }

  /** `(?i)` and the like, or `(?i:` where a group begins. */
  #flags(flags: Flags): { readonly flags: Flags; readonly isGroup: boolean } {
    this.#at += 2;
    let now = flags;
    let isOn = true;
    for (;;) {
      const letter = this.#letters[this.#at++];
      if (letter === ")" || letter === ":") return { flags: now, isGroup: letter === ":" };
      if (letter === "-" && isOn) isOn = false;
      else if (letter === "i") now = { ...now, ignoresCase: isOn };
      else if (letter === "s") now = { ...now, dotIsAll: isOn };
      // Which of several ways matches says nothing when it is only asked whether one does.
      else if (letter !== "U") throw new PatternProblem(`'(?${letter ?? ""}' is not supported`);
    }
  }

  #repeated(part: Node): Node {
    let node = part;
    let isRepeated = false;
    for (;;) {
      const counts = this.#counts();
      if (counts === undefined) return node;
      if (isRepeated) throw new PatternProblem("a repetition of a repetition");
      isRepeated = true;
      // A lazy one matches the same texts.
      this.#take("?");
      node = { type: "repeat", part: node, ...counts };
    }
  }

  #counts(): { readonly min: number; readonly max: number | undefined } | undefined {
    if (this.#take("*")) return { min: 0, max: undefined };
    if (this.#take("+")) return { min: 1, max: undefined };
    if (this.#take("?")) return { min: 0, max: 1 };
    const match = /^\{(\d{1,5})(,(\d{0,5}))?\}/.exec(this.#letters.slice(this.#at, this.#at + 13).join(""));
    // Any other `{` is a letter.
    if (match === null) return undefined;
    this.#at += match[0].length;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === "" ? undefined : Number(match[3]);
    if (min > REPEAT_MAX || (max ?? 0) > REPEAT_MAX) throw new PatternProblem(`a repetition above ${REPEAT_MAX}`);
    if (max !== undefined && max < min) throw new PatternProblem(`${match[0]} is none`);
    return { min, max };
  }

  #literal(letter: number, flags: Flags): Node {
    return { type: "letter", set: { ranges: inBothCases([[letter, letter]], flags), isNegated: false } };
  }

  #escaped(flags: Flags): Node {
    const letter = this.#peek();
    switch (letter) {
      case "A":
      case "z":
        this.#at += 1;
        return { type: "place", place: letter === "A" ? "begin" : "end" };
      case "b":
      case "B":
        this.#at += 1;
        return { type: "place", place: letter === "b" ? "word-edge" : "no-word-edge" };
      default: {
        const ranges = this.#classEscape();
        if (ranges !== undefined) return { type: "letter", set: { ranges, isNegated: false } };
        return this.#literal(this.#letterEscape(), flags);
      }
    }
  }

  /** `\d` and its like; behind the backslash. */
  #classEscape(): readonly LetterRange[] | undefined {
    const letter = this.#peek();
    const ranges = { d: DIGIT, w: WORD, s: SPACE }[letter?.toLowerCase() ?? ""];
    if (ranges === undefined || letter === undefined) return undefined;
    this.#at += 1;
    return letter === letter.toLowerCase() ? ranges : complement(ranges);
  }

  /** One letter; behind the backslash. */
  #letterEscape(): number {
    const letter = this.#letters[this.#at++];
    if (letter === undefined) throw new PatternProblem("it ends with '\\'");
    const control = CONTROLS[letter];
    if (control !== undefined) return control;
    if (letter === "x") {
      const match = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,6})\})/.exec(
        this.#letters.slice(this.#at, this.#at + 8).join(""),
      );
      const code = Number.parseInt(match?.[1] ?? match?.[2] ?? "", 16);
      if (match === null || code > LETTER_MAX) throw new PatternProblem("'\\x' without a letter's number");
      this.#at += match[0].length;
      return code;
    }
    if (/[A-Za-z0-9]/.test(letter)) throw new PatternProblem(`'\\${letter}' is not supported`);
    return letter.codePointAt(0) ?? 0;
  }

  /** Behind a `[`. */
  #set(flags: Flags): LetterSet {
    const isNegated = this.#take("^");
    const ranges: LetterRange[] = [];
    for (let isFirst = true; isFirst || this.#peek() !== "]"; isFirst = false) {
      if (this.#peek() === undefined) throw new PatternProblem("a '[' without its ']'");
      const whole = this.#classInSet();
      if (whole !== undefined) {
        ranges.push(...whole);
        continue;
      }
      const from = this.#letterInSet();
      let to = from;
      if (this.#peek() === "-" && this.#peek(1) !== "]" && this.#peek(1) !== undefined) {
        this.#at += 1;
        to = this.#letterInSet();
      }
      if (to < from) throw new PatternProblem("a range that ends before it begins");
      ranges.push([from, to]);
    }
    this.#at += 1;
    return { ranges: inBothCases(ranges, flags), isNegated };
  }

  /** `[:alpha:]`, `[:^alpha:]` or `\d` within a set. */
  #classInSet(): readonly LetterRange[] | undefined {
    if (this.#peek() === "[" && this.#peek(1) === ":") {
      const match = /^\[:(\^?)([a-z]+):\]/.exec(this.#letters.slice(this.#at, this.#at + 12).join(""));
      const ranges = match === null ? undefined : new Map(Object.entries(CLASSES)).get(match[2] ?? "");
      if (match === null || ranges === undefined) throw new PatternProblem("'[:' without the name of a class");
      this.#at += match[0].length;
      return match[1] === "" ? ranges : complement(ranges);
    }
    if (this.#peek() !== "\\" || !/[dwsDWS]/.test(this.#peek(1) ?? "")) return undefined;
    this.#at += 1;
    return this.#classEscape();
  }

  #letterInSet(): number {
    const letter = this.#letters[this.#at++];
    return letter === "\\" ? this.#letterEscape() : (letter?.codePointAt(0) ?? 0);
  }
}

/** Whether a `(?` is followed by what begins a group of its own, rather than by flags. */
const isGroupStart = (first: string | undefined, second: string | undefined): boolean =>
  first === ":" || first === "<" || (first === "P" && second === "<") || first === "=" || first === "!";

/** Case is that of ASCII. */
function inBothCases(ranges: readonly LetterRange[], { ignoresCase }: Flags): readonly LetterRange[] {
  if (!ignoresCase) return ranges;
  const all = [...ranges];
  for (const [from, to] of ranges) {
    const [upperFrom, upperTo] = [Math.max(from, 0x41), Math.min(to, 0x5a)];
    if (upperFrom <= upperTo) all.push([upperFrom + 32, upperTo + 32]);
    const [lowerFrom, lowerTo] = [Math.max(from, 0x61), Math.min(to, 0x7a)];
    if (lowerFrom <= lowerTo) all.push([lowerFrom - 32, lowerTo - 32]);
  }
  return all;
}
