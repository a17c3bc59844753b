// Contract for the master's shell; see SPEC.md. Replaced by the implementation.
import type { Ballot } from "#log/ballot.ts";
import type { AppendAnswer, AppendCall, ConfirmAnswer, ConfirmCall, ElectAnswer, ElectCall } from "#log/calls.ts";
import type { Millis } from "#base/time.ts";
import type { Epoch } from "#protocol/ids.ts";
import type { AuditedOperation, Refusal } from "./operations.ts";
import type { Registry } from "./registry.ts";

/** The outcome of one operation, told only after its batch is chosen. */
export type Outcome = { readonly type: "committed" } | { readonly type: "refused"; readonly reason: Refusal };

export type RegistrarInput =
  /** Lead, if that is due: elects, replays the log, and either continues its cached epoch or writes a leader entry. */
  | { readonly type: "stand" }
  | { readonly type: "apply"; readonly id: number; readonly audited: AuditedOperation }
  /** Ask a quorum whether our ballot still stands. */
  | { readonly type: "confirm" }
  | { readonly type: "elect-answered"; readonly ballot: Ballot; readonly answer: ElectAnswer }
  | { readonly type: "append-answered"; readonly ballot: Ballot; readonly answer: AppendAnswer }
  | { readonly type: "confirm-answered"; readonly ballot: Ballot; readonly answer: ConfirmAnswer };

export type RegistrarEffect =
  /** Durable before the effects that follow it leave the object. */
  | { readonly type: "store-ballot"; readonly ballot: Ballot }
  | { readonly type: "elect"; readonly call: ElectCall }
  | { readonly type: "append"; readonly call: AppendCall }
  | { readonly type: "confirm"; readonly call: ConfirmCall }
  /** We lead. `fresh`: a new epoch, all cached state of the old one must be wiped in the transaction that stores this epoch. */
  | { readonly type: "leading"; readonly epoch: Epoch; readonly fresh: boolean }
  | { readonly type: "outcome"; readonly id: number; readonly outcome: Outcome }
  | { readonly type: "confirmed"; readonly at: Millis }
  /** We do not lead (any more). Operations `ids` were not acknowledged and may or may not be chosen: the next election tells. */
  | { readonly type: "not-leading"; readonly reason: string; readonly fenced: boolean; readonly ids: readonly number[]; readonly retryAt: Millis };

export interface Registrar {
  readonly registry: Registry;
}
