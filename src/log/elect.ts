// An election: a quorum promises the ballot and shows what it accepted; whatever may have been chosen is written again
// under the ballot, gaps become nop. After it every position below `next` is chosen, and only this ballot can append.
//
// [L2] One ballot is good for one election: a second one could see another quorum and write other values under it.
import { assert } from "#base/assert.ts";
import { compareBallots } from "./ballot.ts";
import type { ElectAnswer, ElectCall, Unavailable } from "./calls.ts";
import { catchUp } from "./catch-up.ts";
import { type Conversation, hold, unavailable } from "./conversation.ts";
import type { Electorate, Entry, Position, ReplicaId } from "./entry.ts";
import { position } from "./entry.ts";
import { SETTLE_PAGES_MAX } from "./limits.ts";
import type { LogRecord } from "./record.ts";
import { type Promised, promiseRound } from "./promise.ts";
import type { NoQuorum } from "./round.ts";
import { spread } from "./settle.ts";
import { fittingEntries, writeRound } from "./write.ts";

/** Promise rounds in one election: one for each membership on the way, and some for members that must be caught up first. */
const PROMISE_ROUNDS_MAX = 8;

export function* elect(call: ElectCall, seeds: readonly ReplicaId[]): Conversation<ElectAnswer> {
  let { known } = call;
  for (let round = 0; round < PROMISE_ROUNDS_MAX; round++) {
    const promises = yield* hold(promiseRound(call, { seeds, known }));
    if (promises.type === "refused") return promises;
    if (promises.type === "unavailable") {
      const hasMoved = yield* bringUp(call, promises);
      // Nobody who answers has learned that membership, and nobody can teach it: its entry is decided under the one before.
      const next = hasMoved ? promises.electorate : learnedElectorate(promises);
      if (next === undefined) return noQuorum(promises, call);
      known = next;
      continue;
    }
    const { electorate } = promises;
    known = electorate;
    const votes = [...promises.votes.values()];
    const end = Math.max(...votes.map((vote) => vote.end));
    if (end + 1 < call.from) return lostEntries(end, call.from, votes.length, electorate);

    // Learned is a prefix, and learned anywhere is chosen.
    const learnedTo = Math.max(...votes.map((vote) => vote.missingFrom));
    assert(learnedTo > electorate.position, "who votes under a membership has learned it");
    const written = yield* writeAgain(call, electorate, position(learnedTo), valuesToWrite(votes, learnedTo, end));
    if (written.type !== "written") return written;
    // [L24] The positions after a membership entry are for its members to decide: ask them.
    if (written.next !== undefined) {
      known = written.next;
      continue;
    }
    const begin = position(Math.max(...votes.map((vote) => vote.begin)));
    return { type: "elected", electorate, begin, next: position(end + 1) };
  }
  const reason = `no end after ${PROMISE_ROUNDS_MAX} rounds of promises: replicas lag behind the membership`;
  return { type: "unavailable", reason, reachable: 0, replicas: 0 };
}

/** [L16] The value of each position in [from, end]: the record of the highest ballot among the voters, or nop. */
function valuesToWrite(votes: readonly Promised[], from: number, end: number): readonly Entry[] {
  const best = new Map<number, LogRecord>();
  for (const { records } of votes) {
    for (const record of records) {
      if (record.position < from) continue;
      const rival = best.get(record.position);
      if (rival === undefined || compareBallots(record.performed, rival.performed) > 0)
        best.set(record.position, record);
    }
  }
  const entries: Entry[] = [];
  for (let at = from; at <= end; at++) entries.push(best.get(at)?.entry ?? { type: "nop" });
  return entries;
}

/** Writes until everything is chosen, or until a membership entry is, whose members then learn it. */
function* writeAgain(
  { clusterId, ballot }: ElectCall,
  electorate: Electorate,
  from: Position,
  entries: readonly Entry[],
): Conversation<{ type: "written"; next: Electorate | undefined } | Exclude<ElectAnswer, { type: "elected" }>> {
  let rest = entries;
  let at = from;
  let chosenThrough: Position | undefined;
  while (rest.length > 0) {
    const part = rest.slice(0, fittingEntries(rest));
    const written = yield* hold(
      writeRound({ clusterId, ballot, electorate, position: at, entries: part, chosenThrough }),
    );
    if (written.type === "unavailable") return unavailable(written);
    if (written.type === "refused") return written;
    rest = rest.slice(part.length);
    at = position(at + part.length);
    chosenThrough = position(at - 1);
    const last = part.at(-1);
    if (last?.type === "membership") {
      const next: Electorate = { membership: last.membership, position: chosenThrough };
      yield* spread({ clusterId, ballot, electorate, through: chosenThrough }, next);
      return { type: "written", next };
    }
  }
  return { type: "written", next: undefined };
}

/** Members that have not learned the membership, or have damaged records, cannot vote: bring them the entries. Whether any moved. */
function* bringUp({ clusterId }: ElectCall, { electorate, behind, asked }: NoQuorum): Conversation<boolean> {
  if (electorate === undefined) return false;
  let hasMoved = false;
  for (const { replica, standing } of behind) {
    const { position: through } = electorate;
    const lag = { clusterId, electorate, replica, standing, through, pagesMax: SETTLE_PAGES_MAX, others: asked };
    if ((yield* catchUp(lag)).hasMoved) hasMoved = true;
  }
  return hasMoved;
}

/** The newest membership that a member which is behind has learned, if that is what keeps it from voting. */
function learnedElectorate({ electorate, behind }: NoQuorum): Electorate | undefined {
  let newest: Electorate | undefined;
  for (const { standing } of behind) {
    const learned = standing.electorate;
    if (learned === undefined || electorate === undefined || learned.position >= electorate.position) continue;
    if (newest === undefined || learned.position > newest.position) newest = learned;
  }
  return newest;
}

function lostEntries(end: number, from: Position, reachable: number, { membership }: Electorate): Unavailable {
  // The caller applied what no quorum has any more. Going on would choose it again, differently.
  const reason = `the replicas end at ${end}, but ${from - 1} was chosen before: the log has lost entries; do not go on without restoring them`;
  return { type: "unavailable", reason, reachable, replicas: membership.seats.length };
}

/** [L28] When nobody that answers knows the log any more, the words say so: a new cluster is never the answer. */
function noQuorum(verdict: NoQuorum, { clusterId }: ElectCall): Unavailable {
  const answer = unavailable(verdict);
  if (verdict.isLogKnown || verdict.reachable === 0) return answer;
  const advice =
    `no replica that answers knows the log of cluster ${clusterId}. If their storage is lost, restore it; ` +
    `if this is the wrong account or namespace, deploy to the right one. Nothing makes a new cluster in its place`;
  return { ...answer, reason: `${answer.reason}; ${advice}` };
}
