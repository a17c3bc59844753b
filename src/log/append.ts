// Appending under a ballot that was elected: one write round, then the commit notice in the background.
import { assert } from "#base/assert.ts";
import type { AppendAnswer, AppendCall } from "./calls.ts";
import { type Concluded, type Conversation, hold } from "./conversation.ts";
import type { ReplicaId } from "./entry.ts";
import { position } from "./entry.ts";
import { settle } from "./learn.ts";
import { ENTRY_LETTERS_MAX, WRITE_ENTRIES_MAX } from "./limits.ts";
import { inWrites, writeRound } from "./write.ts";

/** All entries of a call are chosen together or their fate is unknown; the caller splits what is longer than one write. */
export function* append(call: AppendCall, seeds: readonly ReplicaId[]): Conversation<Concluded<AppendAnswer>> {
  const { entries } = call;
  assert(entries.length > 0 && entries.length <= WRITE_ENTRIES_MAX, "an append carries 1 to WRITE_ENTRIES_MAX entries");
  assert(inWrites(entries).length === 1, "an append fits one write");
  for (const entry of entries) {
    assert(entry.type === "nop" || entry.type === "append", "an append carries nop and append entries");
    assert(entry.type !== "append" || entry.data.length <= ENTRY_LETTERS_MAX, "an entry fits ENTRY_LETTERS_MAX");
  }
  const written = yield* hold(writeRound({ ...call, seeds }));
  if (written.type !== "decided") return { answer: written };
  const background = settle({
    clusterId: call.clusterId,
    ballot: call.ballot,
    electorate: written.electorate,
    through: position(call.position + entries.length - 1),
  });
  return { answer: { type: "appended" }, background };
}
