// Appending under a ballot that was elected: one write round. What is chosen is told to the replicas with the next write,
// or by settle.ts; only a membership entry is told at once, because everything after it is decided by others.
import { assert } from "#base/assert.ts";
import type { AppendAnswer, AppendCall } from "./calls.ts";
import { type Conversation, hold, unavailable } from "./conversation.ts";
import type { Electorate } from "./entry.ts";
import { FIRST_POSITION, position } from "./entry.ts";
import { ENTRY_LETTERS_MAX } from "./limits.ts";
import { promiseRound } from "./promise.ts";
import { spread } from "./settle.ts";
import { fittingEntries, writeRound } from "./write.ts";

/** All entries of a call are chosen together, or their fate is unknown. */
export function* append(call: AppendCall): Conversation<AppendAnswer> {
  const { clusterId, ballot, electorate, entries } = call;
  assert(entries.length > 0 && fittingEntries(entries) === entries.length, "an append fits one write");
  for (const entry of entries) {
    assert(entry.type !== "append" || entry.data.length <= ENTRY_LETTERS_MAX, "an entry fits ENTRY_LETTERS_MAX");
  }
  const before = position(call.position - 1);
  const chosenThrough = before > FIRST_POSITION ? before : undefined;
  const written = yield* hold(writeRound({ ...call, chosenThrough }));
  if (written.type === "unavailable") return unavailable(written);
  if (written.type === "refused") return written;

  const last = entries.at(-1);
  if (last?.type !== "membership") return { type: "appended", electorate };
  const through = position(call.position + entries.length - 1);
  const next: Electorate = { membership: last.membership, position: through };
  yield* spread({ clusterId, ballot, electorate, through }, next);
  // [L24] From here on others decide, and what they promised before was promised under another membership.
  const promises = yield* hold(promiseRound({ clusterId, ballot }, next));
  if (promises.type === "unavailable") return unavailable(promises);
  if (promises.type === "refused") return promises;
  const hasRival = [...promises.votes.values()].some(({ end }) => end > through);
  if (!hasRival) return { type: "appended", electorate: next };
  const reason = "another candidate wrote under the new membership: only an election can tell what was chosen";
  return { type: "unavailable", reason, reachable: promises.votes.size, replicas: next.membership.seats.length };
}
