// What the plane says of its replicated log, and the calls that ask it. Unknown members are ignored.
import { Failure, reasonOf, UsageError } from "../failure.ts";
import { describeRefusal, type Plane } from "../plane.ts";

const LOG_PATH = "/mesoflare/log";
const MEMBERS_PATH = "/mesoflare/log/members";
const VERIFY_PATH = "/mesoflare/log/verify";

export interface ReplicaJson {
  readonly id: string;
  /** Of the newest membership; before there is one, of those that the plane is made with. */
  readonly member: boolean;
  readonly status: "voting" | "recovering" | "starting" | "empty" | "unreachable";
  readonly cluster_id?: string;
  /** The first position that is not truncated away. */
  readonly begin?: number;
  /** The last position with a record, 0 without any. */
  readonly end?: number;
  /** The first position that it does not know to be chosen. */
  readonly missing_from?: number;
  readonly promised?: { readonly counter: number; readonly candidate: string };
  /** Why it is unreachable. */
  readonly reason?: string;
  /** Where it was wished to be, and the data centre where it is. */
  readonly hint?: string;
  readonly colo?: string;
}

export interface MembershipJson {
  readonly membership: readonly string[];
  readonly membership_position: number;
}

export interface LogJson extends Partial<MembershipJson> {
  /** Absent before `mesoflare init`, and without a quorum. */
  readonly cluster_id?: string;
  readonly replicas: readonly ReplicaJson[];
}

export type ChangeJson =
  | { readonly type: "add"; readonly replica: string }
  | { readonly type: "remove"; readonly replica: string }
  | { readonly type: "replace"; readonly replica: string; readonly by: string };

export interface FindingJson {
  readonly replica: string;
  readonly type: "divergence" | "hole" | "damage" | "lag" | "unreachable" | "unseated";
  readonly position?: number;
  readonly detail: string;
}

/** A part of the log, held against itself at all replicas. `next` is where the next part begins. */
export interface VerifiedJson {
  readonly from: number;
  readonly next?: number;
  readonly end: number;
  readonly replicas: readonly string[];
  readonly findings: readonly FindingJson[];
}

/** Throws what the command line answers to a name that no replica can have. */
export function replicaName(text: string): string {
  if (/^replica-[1-9]\d{0,2}$/.test(text)) return text;
  throw new UsageError(`a replica is named replica-1 to replica-999, not '${text.slice(0, 64)}'`);
}

/** Answered whether or not a master leads. */
export const getLog = (plane: Plane): Promise<LogJson> => plane.get(LOG_PATH);

/** After an answer that says neither yes nor no. */
const UNKNOWN = "; whether the change was made, 'mesoflare log status' tells";

/** Resolves when the change is chosen, which may take as long as the replica takes to be brought up to date. */
export async function changeMembers(plane: Plane, change: ChangeJson): Promise<MembershipJson> {
  const response = await plane
    .fetch(MEMBERS_PATH, { ...jsonPost(change), patient: true })
    .catch((error: unknown): never => {
      throw new Failure(`${reasonOf(error)}${UNKNOWN}`);
    });
  if (response.ok) return (await response.json()) as MembershipJson;
  if (response.status === 409) throw new Failure(`refused: ${(await response.text()).trim()}`);
  const reason = await describeRefusal(`POST ${MEMBERS_PATH}`, response);
  // 503: no leader took it.
  throw new Failure(response.status >= 500 && response.status !== 503 ? `${reason}${UNKNOWN}` : reason);
}

export async function verifyPart(plane: Plane, from: number): Promise<VerifiedJson> {
  const response = await plane.fetch(VERIFY_PATH, { ...jsonPost({ from }), patient: true });
  if (!response.ok) throw new Failure(await describeRefusal(`POST ${VERIFY_PATH}`, response));
  return (await response.json()) as VerifiedJson;
}

const jsonPost = (body: unknown) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
