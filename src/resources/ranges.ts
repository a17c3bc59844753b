// Inclusive ranges of whole numbers, as `ports` has them: always sorted, apart from each other, and never adjacent, so that
// two equal sets have one form. Everything here takes and gives that form, except `coalesce`, which makes it.

/** Both ends belong to the range. */
export interface Range {
  readonly begin: number;
  readonly end: number;
}

/** The one form of any list of ranges: sorted, with overlapping and adjacent ones joined. A range with begin > end holds nothing. */
export function coalesce(ranges: Iterable<Range>): readonly Range[] {
  const sorted = [...ranges].filter(({ begin, end }) => begin <= end).toSorted((a, b) => a.begin - b.begin);
  const joined: Range[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last === undefined || range.begin > last.end + 1) joined.push({ begin: range.begin, end: range.end });
    else if (range.end > last.end) joined[joined.length - 1] = { begin: last.begin, end: range.end };
  }
  return joined;
}

/** What of `from` is not in `taken`. */
export function subtractRanges(from: readonly Range[], taken: readonly Range[]): readonly Range[] {
  const left: Range[] = [];
  let at = 0;
  for (const { begin, end } of from) {
    let next = begin;
    // Both lists are sorted, so what ended before this range never matters again.
    while (at < taken.length && (taken[at]?.end ?? 0) < begin) at++;
    for (let i = at; i < taken.length; i++) {
      const hole = taken[i];
      if (hole === undefined || hole.begin > end) break;
      if (hole.begin > next) left.push({ begin: next, end: hole.begin - 1 });
      next = Math.max(next, hole.end + 1);
    }
    if (next <= end) left.push({ begin: next, end });
  }
  return left;
}

export function containsRanges(whole: readonly Range[], part: readonly Range[]): boolean {
  return subtractRanges(part, whole).length === 0;
}

/** Mesos' text in its HTTP endpoints (endpoints §3.1): `[31000-32000]`, several as `[1-2, 5-9]`. */
export function formatRanges(ranges: readonly Range[]): string {
  return `[${ranges.map(({ begin, end }) => `${begin}-${end}`).join(", ")}]`;
}

/** Reads {@link formatRanges} back, white space tolerated; undefined when the text is no such list. */
export function parseRanges(text: string): readonly Range[] | undefined {
  const inner = /^\[([^[\]]*)\]$/.exec(text.trim())?.[1];
  if (inner === undefined) return undefined;
  if (inner.trim() === "") return [];
  const ranges: Range[] = [];
  for (const part of inner.split(",")) {
    const match = /^\s*(\d{1,15})\s*-\s*(\d{1,15})\s*$/.exec(part);
    if (match === null) return undefined;
    const [begin, end] = [Number(match[1]), Number(match[2])];
    if (begin > end) return undefined;
    ranges.push({ begin, end });
  }
  return coalesce(ranges);
}
