// One change of the log's members, and what is said while it goes on: the answer comes when the change is chosen, and until
// then the log's status shows how far a new member is.
import { setTimeout as sleep } from "node:timers/promises";
import type { Plane } from "../plane.ts";
import { changeMembers, getLog, type ChangeJson, type LogJson, type MembershipJson } from "./answers.ts";
import { endOf, learnedOf, quorumOf, sortedReplicas } from "./status.ts";

/** How often somebody who waits hears how far it is, ms. */
export const PROGRESS_MS = 3_000;

export interface ChangeShell {
  readonly say: (line: string) => void;
  readonly progressMs?: number;
}

export async function changeAndWait(
  plane: Plane,
  change: ChangeJson,
  { say, progressMs = PROGRESS_MS }: ChangeShell,
): Promise<MembershipJson> {
  const done = new AbortController();
  void tellProgress(plane, change, { say, progressMs }, done.signal);
  try {
    return await changeMembers(plane, change);
  } finally {
    done.abort();
  }
}

async function tellProgress(
  plane: Plane,
  change: ChangeJson,
  { say, progressMs }: Required<ChangeShell>,
  done: AbortSignal,
): Promise<void> {
  for (;;) {
    await sleep(progressMs, undefined, { signal: done }).catch(() => undefined);
    if (done.aborted) return;
    // A plane that does not tell its status now may still make the change.
    const log = await getLog(plane).catch(() => undefined);
    if (!done.aborted && log !== undefined) say(progressText(log, change));
  }
}

/** How far the replica that is to be seated is. The plane names it once REPLICAS or the membership do. */
export function progressText({ replicas }: LogJson, change: ChangeJson): string {
  const end = endOf(replicas);
  if (change.type === "remove") return `waiting until ${change.replica} is removed`;
  const newcomer = change.type === "add" ? change.replica : change.by;
  const report = replicas.find(({ id }) => id === newcomer);
  const learned = report === undefined ? undefined : learnedOf(report);
  if (learned === undefined) return `waiting until ${newcomer} has the log's ${end} entries`;
  return `${newcomer} has ${learned} of ${end} entries`;
}

/** What a change has led to, for people. */
export function changedText(change: ChangeJson, { membership, membership_position }: MembershipJson): string {
  const { length } = membership;
  const what = {
    add: () => `${change.replica} was added`,
    remove: () => `${change.replica} was removed`,
    replace: () => `${change.replica} was replaced by ${change.type === "replace" ? change.by : ""}`,
  }[change.type]();
  const members = length === 1 ? "the only member is" : `the ${length} members are`;
  const votes = length === 1 ? "" : `; ${quorumOf(length)} of them decide`;
  return `${what} by entry ${membership_position}: ${members} ${sortedReplicas(membership).join(", ")}${votes}\n`;
}
