// Verification: the same pages read at every replica and held against each other. It also is what finds a damaged record
// that nobody has read for long: reading it makes the replica RECOVERING, and the next settlement repairs it.
import type { Finding, VerifyAnswer, VerifyCall } from "./calls.ts";
import type { Conversation } from "./conversation.ts";
import { type Position, position, type ReplicaId, replicasOf } from "./entry.ts";
import { PAGE_ENTRIES_MAX } from "./limits.ts";
import type { ReadMessage, ReplicaAnswer } from "./messages.ts";
import { isSameEntry, type LogRecord } from "./record.ts";
import { describeAnswer, GatherRound } from "./round.ts";
import { lookAround } from "./status.ts";
import { isUnseated } from "./settle.ts";

/** Pages in one call; the caller goes on from `next`. */
const VERIFY_PAGES_MAX = 20;
/** Findings that one answer names; more of the same kind tell nothing new. */
const FINDINGS_MAX = 100;

type PageAnswer = Extract<ReplicaAnswer, { type: "page" }>;

export function* verify(
  { clusterId, from, known }: VerifyCall,
  seeds: readonly ReplicaId[],
): Conversation<VerifyAnswer> {
  const { electorate } = yield* lookAround(seeds, known, clusterId);
  if (electorate === undefined) {
    const reason = "no replica that answers has learned a membership: is this plane initialised?";
    return { type: "unavailable", reason, reachable: 0, replicas: seeds.length };
  }
  const replicas = replicasOf(electorate.membership);
  const findings: Finding[] = [];
  const silent = new Set<ReplicaId>();
  let at: Position | undefined = from;
  let end = 0;
  for (let page = 0; page < VERIFY_PAGES_MAX && at !== undefined && findings.length < FINDINGS_MAX; page++) {
    const message: ReadMessage = { type: "read", clusterId, from: at, to: undefined, entriesMax: PAGE_ENTRIES_MAX };
    const round = new GatherRound(replicas.filter((one) => !silent.has(one)).map((to) => ({ to, message })));
    yield round;
    const pages = new Map<ReplicaId, PageAnswer>();
    for (const replica of replicas) {
      if (silent.has(replica)) continue;
      const heard = round.heardFrom(replica);
      if (heard.type === "answer" && heard.answer.type === "page") {
        pages.set(replica, heard.answer);
        continue;
      }
      silent.add(replica);
      if (heard.type === "unreachable") {
        findings.push({ replica, type: "unreachable", detail: heard.reason });
        continue;
      }
      const { standing } = heard.answer;
      const isDamaged = standing.damaged !== undefined || isUnseated(electorate, replica, standing);
      const detail = describeAnswer(heard.answer);
      findings.push({ replica, type: isDamaged ? "damage" : "unreachable", position: standing.damaged?.from, detail });
    }
    // What nobody gives cannot be compared, now or by asking for it once more: the findings say why.
    if (pages.size === 0) {
      at = undefined;
      break;
    }
    end = Math.max(end, ...[...pages.values()].map(({ standing }) => standing.end));
    const next: number = Math.min(...[...pages.values()].map((one) => one.page.next ?? Infinity));
    const through = Number.isFinite(next) ? next - 1 : end;
    findings.push(...compare(pages, at, through));
    if (!Number.isFinite(next)) {
      for (const [replica, { standing }] of pages) {
        if (isUnseated(electorate, replica, standing)) {
          findings.push({ replica, type: "unseated", detail: "its storage is another one than the seat was given to" });
        }
      }
      findings.push(...lags(pages));
    }
    at = Number.isFinite(next) ? position(next) : undefined;
  }
  return { type: "verified", from, next: at, end: position(end), replicas, findings: findings.slice(0, FINDINGS_MAX) };
}

/** Holds what is learned in [from, through] at each replica against what the first of them has learned there. */
function compare(pages: ReadonlyMap<ReplicaId, PageAnswer>, from: number, through: number): readonly Finding[] {
  const findings: Finding[] = [];
  const learned = new Map<number, { readonly replica: ReplicaId; readonly record: LogRecord }>();
  for (const [replica, { page, standing }] of pages) {
    const first = Math.max(from, standing.begin);
    let expected = first;
    for (const record of page.records) {
      if (record.position > through || record.position >= standing.missingFrom) break;
      if (record.position > expected) findings.push(hole(replica, expected, record.position - 1));
      expected = record.position + 1;
      const other = learned.get(record.position);
      if (other === undefined) learned.set(record.position, { replica, record });
      else if (!isSameEntry(record.entry, other.record.entry)) {
        const detail = `learned ${record.entry.type} where ${other.replica} learned ${other.record.entry.type}, with another value`;
        findings.push({ replica, type: "divergence", position: record.position, detail });
      }
    }
    const last = Math.min(through, standing.missingFrom - 1);
    if (expected <= last && first <= last) findings.push(hole(replica, expected, last));
  }
  return findings;
}

const hole = (replica: ReplicaId, from: number, to: number): Finding => ({
  replica,
  type: "hole",
  position: position(from),
  detail: from === to ? `no record at ${from}` : `no records at ${from} to ${to}`,
});

function lags(pages: ReadonlyMap<ReplicaId, PageAnswer>): readonly Finding[] {
  const learnedTo = Math.max(...[...pages.values()].map(({ standing }) => standing.missingFrom));
  return [...pages].flatMap(([replica, { standing }]): readonly Finding[] => {
    const missing = learnedTo - standing.missingFrom;
    if (missing === 0) return [];
    return [{ replica, type: "lag", position: standing.missingFrom, detail: `${missing} entries behind` }];
  });
}
