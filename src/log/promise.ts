// The promise round: a quorum promises the ballot and shows what it accepted and has not learned.
import type { Ballot } from "./ballot.ts";
import type { ClusterId, Electorate, Position, ReplicaId } from "./entry.ts";
import { FIRST_POSITION, position } from "./entry.ts";
import type { PromiseMessage } from "./messages.ts";
import type { LogRecord } from "./record.ts";
import { type Acquaintance, describeAnswer, QuorumRound } from "./round.ts";

/** What one promising replica accepted and has not learned. */
export interface Promised {
  readonly records: readonly LogRecord[];
  readonly begin: number;
  readonly end: number;
  /** As of the last page: a replica may learn between two of them. */
  readonly missingFrom: number;
}

export function promiseRound(
  { clusterId, ballot }: { readonly clusterId: ClusterId; readonly ballot: Ballot },
  electorate: Electorate | Acquaintance,
): QuorumRound<Promised> {
  const pages = new Map<ReplicaId, { under: Position; records: LogRecord[]; begin: number; missingFrom: number }>();
  const ask = (membershipPosition: Position, first: Position): PromiseMessage => ({
    type: "promise",
    clusterId,
    membershipPosition,
    ballot,
    from: first,
  });
  return new QuorumRound<Promised>({
    electorate,
    // Everything that is not learned there, also below what the caller has applied: a quorum may not have learned that yet.
    ask: (membershipPosition) => ask(membershipPosition, FIRST_POSITION),
    judge(replica, answer) {
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      if (answer.type !== "promised") return { type: "none", reason: describeAnswer(answer) };
      const { page, standing } = answer;
      const under = standing.electorate?.position ?? position(0);
      let collected = pages.get(replica);
      if (collected === undefined || collected.under !== under) {
        collected = { under, records: [], begin: standing.begin, missingFrom: standing.missingFrom };
        pages.set(replica, collected);
      }
      // What was learned between two pages is not among the records of the later one: it is known to be chosen instead.
      collected.missingFrom = Math.max(collected.missingFrom, standing.missingFrom);
      // A page that came twice adds nothing the second time.
      const last = collected.records.at(-1)?.position ?? 0;
      for (const record of page.records) if (record.position > last) collected.records.push(record);
      // Later pages are as good as the first: this replica accepts nothing older in between.
      if (page.next !== undefined) return { type: "more", message: ask(under, page.next) };
      const { records, begin, missingFrom } = collected;
      return { type: "vote", vote: { records, begin, end: standing.end, missingFrom } };
    },
  });
}
