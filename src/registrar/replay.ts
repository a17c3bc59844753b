// Building the registry from chosen entries, in order. The same code runs when an election brings the log and when an
// own batch is chosen, so that a leader's registry is what any other candidate will read.
import type { PositionedEntry } from "#log/entry.ts";
import type { Epoch } from "#protocol/ids.ts";
import { decodeEntry } from "./codec.ts";
import { applyOperation } from "./operations.ts";
import { draftOf, type Leader, type Registry } from "./registry.ts";

export type Replayed =
  | { readonly type: "applied" }
  /** The registry stands before this entry; nothing after it may be applied. */
  | { readonly type: "stopped"; readonly reason: string };

export function applyEntry(registry: Registry, { position, entry }: PositionedEntry): Replayed {
  switch (entry.type) {
    case "nop":
    case "membership":
    // What it drops was applied before it.
    case "truncate":
      return { type: "applied" };
    case "append":
      return applyText(registry, position, entry.data);
    default:
      // Of a newer release: see [R14].
      return stopped(position, "it is of a type that this release does not know: upgrade");
  }
}

function applyText(registry: Registry, position: number, text: string): Replayed {
  const decoded = decodeEntry(text);
  if (decoded.type === "unreadable") return stopped(position, decoded.reason);
  const { entry } = decoded;
  if (entry.type === "leader") {
    registry.leader = { candidate: entry.candidate, masterId: entry.masterId, epoch: position as Epoch };
    return { type: "applied" };
  }
  // Whoever leads writes under the last leader entry; anything else is not the log that we have applied.
  if (entry.leader !== undefined && !isSameLeader(entry.leader, registry.leader)) {
    return stopped(position, `it was written under epoch ${entry.leader.epoch}, the log is in ${epochOf(registry)}`);
  }
  // Tried on a draft first: an entry is applied as a whole or not at all.
  const draft = draftOf(registry);
  for (const operation of entry.operations) {
    const applied = applyOperation(draft, operation);
    // It was validated when it was written. If it fails now, this release has other rules than the one that wrote it.
    if (applied.type === "refused") return stopped(position, `an operation in it is refused: ${applied.reason}`);
  }
  for (const operation of entry.operations) applyOperation(registry, operation);
  return { type: "applied" };
}

const isSameLeader = (a: Leader, b: Leader | undefined): boolean =>
  a.epoch === b?.epoch && a.candidate === b.candidate && a.masterId === b.masterId;

const epochOf = ({ leader }: Registry): string => (leader === undefined ? "none yet" : String(leader.epoch));

const stopped = (position: number, reason: string): Replayed => ({
  type: "stopped",
  reason: `cannot apply the log entry at ${position}: ${reason}`,
});
