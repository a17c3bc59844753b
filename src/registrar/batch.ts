// One batch: which of the waiting operations go into the next append, as what text, and with what outcome each.
// Every operation sees the registry as it will be after those before it; a refused one leaves no trace in the log.
import { ENTRY_LETTERS_MAX, WRITE_ENTRIES_MAX, WRITE_LETTERS_MAX } from "#log/limits.ts";
import { assert } from "#base/assert.ts";
import type { Entry } from "#log/entry.ts";
import { entryLetters } from "#log/record.ts";
import { decodeEntry, encodeOperation, encodeOperations, OPERATIONS_FRAME_LETTERS } from "./codec.ts";
import { applyOperation, type AuditedOperation, type Refusal } from "./operations.ts";
import { DraftTable, type Registry } from "./registry.ts";

/** Most operations in one batch; more wait for the next. */
export const BATCH_OPERATIONS_MAX = 1_000;
/** Longest text of one operation, letters. */
export const OPERATION_LETTERS_MAX = ENTRY_LETTERS_MAX - OPERATIONS_FRAME_LETTERS;
/** Letters of operations in one batch. Below a whole write, because entries are seldom filled to their end. */
export const BATCH_LETTERS_MAX = WRITE_LETTERS_MAX / 2;

assert(OPERATION_LETTERS_MAX <= BATCH_LETTERS_MAX, "a batch can carry the longest operation");
// Two neighbouring entries hold more than one full entry together, or they would have been one.
assert(2 * Math.ceil(BATCH_LETTERS_MAX / ENTRY_LETTERS_MAX) + 1 <= WRITE_ENTRIES_MAX, "a batch fits one write");

/** The outcome of one operation, told only after its batch is chosen. */
export type Outcome = { readonly type: "committed" } | { readonly type: "refused"; readonly reason: Refusal };

export interface Waiting {
  readonly id: number;
  readonly audited: AuditedOperation;
}
export interface Batch {
  /** At least one, even when nothing changed: the append also proves that we still lead. */
  readonly entries: readonly Entry[];
  readonly outcomes: readonly { readonly id: number; readonly outcome: Outcome }[];
}

/** Takes operations from the front of `waiting` and removes them there. */
export function takeBatch(registry: Registry, waiting: Waiting[]): Batch {
  const draft = new DraftTable(registry.admitted);
  const outcomes: { readonly id: number; readonly outcome: Outcome }[] = [];
  const entries: Entry[] = [];
  let texts: string[] = [];
  let entryLength = OPERATIONS_FRAME_LETTERS;
  let batchLength = 0;
  const close = (): void => {
    entries.push({ type: "append", data: encodeOperations(texts) });
    texts = [];
    entryLength = OPERATIONS_FRAME_LETTERS;
  };
  let taken = 0;
  for (const { id, audited } of waiting) {
    if (taken === BATCH_OPERATIONS_MAX) break;
    const text = encodeOperation(audited);
    const length = text.length + 1;
    if (length > OPERATION_LETTERS_MAX) {
      taken += 1;
      outcomes.push({ id, outcome: { type: "refused", reason: "operation-too-large" } });
      continue;
    }
    if (batchLength + length > BATCH_LETTERS_MAX && taken > 0) break;
    taken += 1;
    // An entry that cannot be read stops every candidate's replay for good, ours included.
    if (decodeEntry(encodeOperations([text])).type === "unreadable") {
      outcomes.push({ id, outcome: { type: "refused", reason: "operation-invalid" } });
      continue;
    }
    const applied = applyOperation(draft, audited);
    if (applied.type === "refused") {
      outcomes.push({ id, outcome: { type: "refused", reason: applied.reason } });
      continue;
    }
    outcomes.push({ id, outcome: { type: "committed" } });
    if (applied.type === "unchanged") continue;
    if (texts.length > 0 && entryLength + length > ENTRY_LETTERS_MAX) close();
    texts.push(text);
    entryLength += length;
    batchLength += length;
  }
  if (texts.length > 0 || entries.length === 0) close();
  waiting.splice(0, taken);
  assert(entries.reduce((sum, entry) => sum + entryLetters(entry), 0) <= WRITE_LETTERS_MAX, "a batch fits one write");
  return { entries, outcomes };
}
