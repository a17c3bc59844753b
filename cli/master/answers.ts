// What the plane says of its master candidates, and the calls that ask it. Unknown members are ignored.
import { Failure, reasonOf, UsageError } from "../failure.ts";
import { describeRefusal, type Plane } from "../plane.ts";

const MASTERS_PATH = "/mesoflare/masters";
const FAILOVER_PATH = "/mesoflare/masters/failover";

export interface MasterJson {
  readonly name: string;
  readonly state: "leads" | "follows" | "unreachable";
  /** Its own, or that of the leader which it follows. */
  readonly epoch?: number;
  /** Since when it leads, s since 1970. */
  readonly since?: number;
  /** Whom it follows. */
  readonly leader?: string;
  /** Why it does not lead, or does not answer. */
  readonly reason?: string;
  /** Counter of the ballot that it holds; absent while it stands for nothing. */
  readonly ballot?: number;
  /** When a quorum last confirmed a ballot of its, s since 1970. */
  readonly confirmed_at?: number;
  /** Where it was wished to be, and the data centre where it is. */
  readonly hint?: string;
  readonly colo?: string;
}

export interface MastersJson {
  /** Absent while none leads. */
  readonly leader?: string;
  readonly epoch?: number;
  /** The plane's clock, s since 1970. */
  readonly time: number;
  readonly masters: readonly MasterJson[];
}

export interface FailoverJson {
  readonly leader: string;
  readonly epoch: number;
  /** Who led before, if that was known. */
  readonly from?: string;
}

/** Throws what the command line answers to a name that no candidate can have. */
export function candidateName(text: string): string {
  if (/^master-[1-9]$/.test(text)) return text;
  throw new UsageError(`a candidate is named master-1, master-2 and so on, not '${text.slice(0, 64)}'`);
}

/** Answered whether or not one of them leads. */
export const getMasters = (plane: Plane): Promise<MastersJson> => plane.get(MASTERS_PATH);

/** Resolves when the new leader leads. `to` undefined: the candidate after the one that leads. */
export async function failOver(plane: Plane, to: string | undefined): Promise<FailoverJson> {
  const unknown = "; who leads, 'mesoflare master status' tells";
  const response = await plane
    .fetch(FAILOVER_PATH, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(to === undefined ? {} : { to }),
    })
    .catch((error: unknown): never => {
      throw new Failure(`${reasonOf(error)}${unknown}`);
    });
  if (response.ok) return (await response.json()) as FailoverJson;
  if (response.status === 404 || response.status === 409)
    throw new Failure(`refused: ${(await response.text()).trim()}`);
  const reason = await describeRefusal(`POST ${FAILOVER_PATH}`, response);
  throw new Failure(response.status >= 500 ? `${reason}${unknown}` : reason);
}
