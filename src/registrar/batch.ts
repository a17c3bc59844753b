// One batch: which of the waiting operations go into the next append, as what text, and with what outcome each.
// Every operation sees the registry as it will be after those before it; a refused one leaves no trace in the log.
import { ENTRY_LETTERS_MAX } from "#log/limits.ts";
import {
  decodeOperation,
  encodeOperation,
  encodeOperations,
  FRAME_LETTERS_MAX,
  type Head,
  type OperationsEntry,
  versionOf,
} from "./codec.ts";
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
   * One, even when nothing changed: the store also proves that we still lead. And never more than one: of a store that is
   * given up, a later entry may be chosen behind a successor's, without those before it [L38].
   */
  readonly entry: OperationsEntry;
  /** Its text in the log. */
  readonly text: string;
  readonly outcomes: readonly { readonly id: number; readonly outcome: Outcome }[];
}

/** Takes operations from the front of `waiting` and removes them there. */
export function takeBatch(registry: Registry, waiting: Waiting[]): Batch {
  const { leader, snapshot }: Head = registry;
  const draft = draftOf(registry);
  const outcomes: { readonly id: number; readonly outcome: Outcome }[] = [];
  const operations: AuditedOperation[] = [];
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
    // As it will be read back. An entry that cannot be read stops every candidate's replay for good, ours included.
    const operation = decodeOperation(text);
    if (operation === undefined) {
      outcomes.push({ id, outcome: { type: "refused", reason: "operation-invalid" } });
      continue;
    }
    const applied = applyOperation(draft, operation);
    if (applied.type === "refused") {
      outcomes.push({ id, outcome: { type: "refused", reason: applied.reason } });
      continue;
    }
    outcomes.push({ id, outcome: { type: "committed" } });
    if (applied.type === "unchanged") continue;
    operations.push(operation);
    texts.push(text);
    letters += length;
  }
  waiting.splice(0, taken);
  const entry: OperationsEntry = { type: "operations", leader, snapshot, operations };
  return { entry, text: encodeOperations(texts, { leader, snapshot }, versionOf(operations)), outcomes };
}
