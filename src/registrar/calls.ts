// What may be asked of the registry's log by anybody, without a ballot and without a promise: the RegistrarWorker answers, also while no
// master leads.
import type { Unavailable } from "#log/calls.ts";
import type { ClusterId, Electorate, Position } from "#log/entry.ts";
import type { Leader } from "./registry.ts";

export interface TailCall {
  readonly clusterId: ClusterId;
  /** The newest membership that the caller knows of. */
  readonly known?: Electorate;
}
/** Who led when the last chosen entry was written. A newer leader may have been elected since, and have chosen nothing yet. */
export interface Tail {
  readonly type: "tail";
  /** Undefined before the first leader. */
  readonly leader: Leader | undefined;
  /** First position that is not known to be chosen. */
  readonly decidedTo: Position;
}
export type TailAnswer = Tail | Unavailable;

/** What the RegistrarWorker offers beside the log's own calls. */
export interface RegistryCalls {
  /** Not `tail`: that is the runtime's own handler of a Worker. */
  readTail(call: TailCall): Promise<TailAnswer>;
}
