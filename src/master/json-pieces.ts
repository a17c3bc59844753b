// JSON text in pieces, so that a long list is made and sent a little at a time.

/** A piece is little work to make: a page of a list, or less. What is between two of them may be awaited. */
export type Pieces = Iterable<string>;

export type Json = Readonly<Record<string, unknown>>;

/** An element is a text or pieces; a text may also be several elements with commas between them, or none. */
export function* list(elements: Iterable<string | Pieces>): Pieces {
  yield "[";
  let isFirst = true;
  for (const element of elements) {
    if (element === "") continue;
    if (!isFirst) yield ",";
    isFirst = false;
    if (typeof element === "string") yield element;
    else yield* element;
  }
  yield "]";
}

/** An object with `head`'s members, and long lists after them. */
export function object(head: Json, lists: Readonly<Record<string, Iterable<string | Pieces>>>): Pieces {
  return members(head, Object.fromEntries(Object.entries(lists).map(([name, elements]) => [name, list(elements)])));
}

/** An object with `head`'s members, and long ones after them. */
export function* members(head: Json, long: Readonly<Record<string, Pieces>>): Pieces {
  let text = JSON.stringify(head).slice(0, -1);
  for (const [name, pieces] of Object.entries(long)) {
    yield `${text}${text === "{" ? "" : ","}${JSON.stringify(name)}:`;
    yield* pieces;
    text = "";
  }
  yield `${text}}`;
}

/** The elements in pages, each of them one text. */
export function* paged<T>(
  elements: readonly T[],
  size: number,
  text: (page: readonly T[]) => readonly string[],
): Pieces {
  for (let at = 0; at < elements.length; at += size) yield text(elements.slice(at, at + size)).join(",");
}

export function* chain(...parts: readonly Pieces[]): Pieces {
  for (const part of parts) yield* part;
}
