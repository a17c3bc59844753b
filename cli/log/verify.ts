// `mesoflare log verify`: asks for one part of the log after the other, and puts together what was found.
import { setTimeout as sleep } from "node:timers/promises";
import { Failure } from "../failure.ts";
import type { Plane } from "../plane.ts";
import { formatTable } from "../table.ts";
import { getLog, verifyPart, type FindingJson, type VerifiedJson } from "./answers.ts";

/** Entries that were being written while they were read look like lag: the last part is read again so often, after so long. */
const LAG_LOOKS_MAX = 3;
const LAG_PAUSE_MS = 1_000;
/** Most findings that are kept: more say nothing new. */
const FINDINGS_MAX = 1_000;

export interface Verification {
  /** Entries between the oldest position that a member still has and the end. */
  readonly entries: number;
  readonly end: number;
  readonly replicas: readonly string[];
  readonly findings: readonly FindingJson[];
}

export interface VerifyShell {
  /** Up to which position everything was read, and where the log ends. */
  readonly progress: (through: number, end: number) => void;
  readonly lagPauseMs?: number;
}

export async function verify(
  plane: Plane,
  { progress, lagPauseMs = LAG_PAUSE_MS }: VerifyShell,
): Promise<Verification> {
  const { replicas, membership } = await getLog(plane);
  const begin = Math.min(...replicas.flatMap((replica) => (replica.member ? (replica.begin ?? []) : [])));
  const first = Number.isFinite(begin) ? begin : 1;
  const findings = new Map<string, FindingJson>();
  let from = first;
  for (;;) {
    let part = await verifyPart(plane, from);
    for (let look = 1; look < LAG_LOOKS_MAX && isOnlyLag(part); look++) {
      await sleep(lagPauseMs);
      part = await verifyPart(plane, from);
    }
    // A member that is unreachable, or behind, is so in each part: once is enough.
    for (const finding of part.findings) {
      if (findings.size < FINDINGS_MAX) findings.set(JSON.stringify(finding), finding);
    }
    const { next, end } = part;
    progress(next === undefined ? end : next - 1, end);
    if (next === undefined) {
      if (membership !== undefined && !isSameSet(part.replicas, membership)) {
        throw new Failure(
          `what was read are ${part.replicas.join(", ")}, and the members were ${membership.join(", ")}: when no change is under way, verify again`,
        );
      }
      const entries = Math.max(0, end - first + 1);
      return { entries, end, replicas: part.replicas, findings: [...findings.values()] };
    }
    if (!(next > from)) throw new Failure(`the plane did not get beyond entry ${from}; its log says why`);
    from = next;
  }
}

const isSameSet = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((name) => b.includes(name));

const isOnlyLag = ({ next, findings }: VerifiedJson): boolean =>
  next === undefined && findings.length > 0 && findings.every(({ type }) => type === "lag");

export function formatVerification({ entries, replicas, findings }: Verification): string {
  const looked = `${entries} entr${entries === 1 ? "y" : "ies"} at ${replicas.length} replica${replicas.length === 1 ? "" : "s"}`;
  if (findings.length === 0) return `${looked}: nothing wrong\n`;
  const table = formatTable(
    ["replica", "finding", "entry", "detail"],
    findings.map(({ replica, type, position, detail }) => [replica, type, String(position ?? "-"), detail]),
  );
  const types = new Set(findings.map(({ type }) => type));
  const advice = (Object.keys(ADVICE) as FindingJson["type"][]).filter((type) => types.has(type));
  const found = `${findings.length}${findings.length === FINDINGS_MAX ? " or more" : ""} finding${findings.length === 1 ? "" : "s"}`;
  return `${table}\n${advice.map((type) => `${type}: ${ADVICE[type]}\n`).join("")}${looked}: ${found}\n`;
}

/** What to do about a finding. */
const ADVICE: Readonly<Record<FindingJson["type"], string>> = {
  divergence:
    "two replicas hold different values of one entry, which must never be. Keep both as they are, and report it with this output",
  hole: "a replica lacks an entry that it has learned: replace it with 'mesoflare log replace', and report it",
  damage:
    "a replica cannot read all of what it stored, and does not vote until it can. The leader repairs it by itself: verify again in a minute",
  unseated: "a replica lost its storage. The leader seats it again by itself: verify again in a minute",
  lag: "a replica has not learned the newest entries yet. The leader brings it up to date by itself: verify again in a minute",
  unreachable: "a replica could not be read, so that nothing is known of what it holds: verify again when it answers",
};
