// One batch: which of the waiting operations go into the next append, as what text, and with what outcome each.
// Every operation sees the registry as it will be after those before it; a refused one leaves no trace in the log.
import { ENTRY_LETTERS_MAX } from "#log/limits.ts";
import type { Entry } from "#log/entry.ts";
import { decodeEntry, encodeOperation, encodeOperations, FRAME_LETTERS_MAX, type Head } from "./codec.ts";
import { applyOperation, type AuditedOperation, type Refusal } from "./operations.ts";
import { draftOf, type Registry } from "./registry.ts";

/** Most operations in one batch; more wait for the next. */
export const BATCH_OPERATIONS_MAX = 1_000;
/** Letters of operations in one batch, and so in one operation: a batch is one entry of the log. */
export const BATCH_LETTERS_MAX = ENTRY_LETTERS_MAX - FRAME_LETTERS_MAX;

/** The outcome of one operation, told only after its batch is chosen. */
export type Outcome = { readonly type: "committed" } | { readonly type: "refused"; readonly reason: Refusal };

export interface Waiting {
  readonly id: number;
  readonly audited: AuditedOperation;
}
export interface Batch {
  /**
   * One, even when nothing changed: the append also proves that we still lead. And never more than one: of a write that is
   * given up, a later entry may be chosen behind a successor's, without those before it [L38].
   */
  readonly entry: Entry;
  readonly outcomes: readonly { readonly id: number; readonly outcome: Outcome }[];
}

/** Takes operations from the front of `waiting` and removes them there. */
export function takeBatch(registry: Registry, waiting: Waiting[]): Batch {
  const head: Head = registry;
  const draft = draftOf(registry);
  const outcomes: { readonly id: number; readonly outcome: Outcome }[] = [];
  const texts: string[] = [];
  let letters = 0;
  let taken = 0;
  for (const { id, audited } of waiting) {
    if (taken === BATCH_OPERATIONS_MAX) break;
    const text = encodeOperation(audited);
    const length = text.length + 1;
    if (length > BATCH_LETTERS_MAX) {
      taken += 1;
      outcomes.push({ id, outcome: { type: "refused", reason: "operation-too-large" } });
      continue;
    }
    if (letters + length > BATCH_LETTERS_MAX) break;
    taken += 1;
    // An entry that cannot be read stops every candidate's replay for good, ours included.
    if (decodeEntry(encodeOperations([text], head)).type === "unreadable") {
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
    texts.push(text);
    letters += length;
  }
  waiting.splice(0, taken);
  return { entry: { type: "append", data: encodeOperations(texts, head) }, outcomes };
}
