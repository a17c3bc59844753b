// What the plane says of its registry, part by part and page by page, put together. Unknown members are ignored.
import { Failure, UsageError } from "../failure.ts";
import { describeRefusal, type Plane } from "../plane.ts";

const PATH = "/mesoflare/registry";

export interface LeaderJson {
  readonly candidate: string;
  readonly master_id: string;
  readonly epoch: number;
}
/** Where the log stands: history begins at `begin`; from `decided_to` on to `end` nothing is decided yet. */
export interface ExtentJson {
  readonly cluster_id: string;
  readonly begin: number;
  readonly decided_to: number;
  readonly end: number;
}
export interface AdmittedJson {
  readonly id: string;
  readonly hostname: string;
  readonly port: number;
  readonly principal: string;
  readonly admitted_at?: string;
}
export interface UnreachableJson {
  readonly id: string;
  readonly hostname: string;
  readonly principal: string;
  readonly unreachable_at?: string;
}
export interface GoneJson {
  readonly id: string;
  readonly hostname: string;
  readonly gone_at?: string;
}
export interface WeightJson {
  readonly role: string;
  readonly weight: number;
}
/** Amounts by name, in their own units. */
export interface QuotaJson {
  readonly role: string;
  readonly guarantees: Readonly<Record<string, number>>;
  readonly limits: Readonly<Record<string, number>>;
}
export interface RegistryJson extends ExtentJson {
  /** The last entry that is in it. */
  readonly position: number;
  readonly leader?: LeaderJson;
  readonly agents: {
    readonly admitted: readonly AdmittedJson[];
    readonly unreachable: readonly UnreachableJson[];
    readonly gone: readonly GoneJson[];
  };
  readonly frameworks: {
    /** Absent in an earlier plane, as are weights and quotas. */
    readonly registered?: readonly { readonly id: string; readonly principal: string }[];
    readonly disconnected: readonly { readonly id: string; readonly principal?: string; readonly deadline?: string }[];
    readonly removed: readonly { readonly id: string; readonly removed_at?: string }[];
  };
  readonly credentials: readonly { readonly principal: string; readonly role: string; readonly verifiers: number }[];
  readonly weights?: readonly WeightJson[];
  readonly quotas?: readonly QuotaJson[];
}
export interface ChangeJson {
  readonly type: string;
  readonly agents: readonly string[];
  readonly framework?: string;
  readonly principal?: string;
  readonly role?: string;
  readonly hostname?: string;
  readonly deadline?: string;
  readonly weights?: readonly WeightJson[];
  /** One without guarantees and limits ended the role's quota. */
  readonly quotas?: readonly QuotaJson[];
  readonly who: string;
  readonly when?: string;
  readonly why: string;
}
export type EntryJson =
  | { readonly position: number; readonly type: "leader"; readonly leader: LeaderJson }
  | { readonly position: number; readonly type: "operations"; readonly changes: readonly ChangeJson[] }
  | { readonly position: number; readonly type: "membership"; readonly replicas: readonly string[] }
  | { readonly position: number; readonly type: "truncate"; readonly to: number }
  | { readonly position: number; readonly type: "unreadable"; readonly reason: string };
export interface HistoryJson extends ExtentJson {
  readonly entries: readonly EntryJson[];
}

export interface Asked {
  readonly at?: number;
  readonly agent?: string;
}
/** What is done of what there is to do: parts of the registry, or entries of history. */
export type Progress = (done: number, all: number) => void;

/** Throws what the command line answers to a position that no entry can have. */
export function positionOf(text: string): number {
  const position = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0;
  if (Number.isSafeInteger(position) && position > 0) return position;
  throw new UsageError(`a position is the number of an entry of the log, from 1 on, not '${text.slice(0, 64)}'`);
}

/** The whole registry. A large one comes in parts, all of them as of the position of the first. */
export async function getRegistry(plane: Plane, asked: Asked, progress: Progress): Promise<RegistryJson> {
  const { next: second, ...first } = await get<RegistryJson & { readonly next?: string }>(plane, asked);
  let whole: RegistryJson = first;
  for (let part = second, done = 1; part !== undefined; done++) {
    const of = Number(part.split("/")[1]);
    progress(done, of);
    const answer = await get<RegistryJson & { readonly next?: string }>(plane, { ...asked, at: first.position, part });
    if (answer.next === part || done > of)
      throw new Failure(`the plane did not get beyond part ${part}; its log says why`);
    const { admitted, unreachable, gone } = whole.agents;
    whole = {
      ...whole,
      agents: {
        admitted: [...admitted, ...answer.agents.admitted],
        unreachable: [...unreachable, ...answer.agents.unreachable],
        gone: [...gone, ...answer.agents.gone],
      },
    };
    part = answer.next;
  }
  return whole;
}

/** All history up to `at`, or to the end as it is when it is asked. */
export async function getHistory(plane: Plane, asked: Asked, progress: Progress): Promise<HistoryJson> {
  const entries: EntryJson[] = [];
  let from: number | undefined;
  let at = asked.at;
  for (;;) {
    const page = await get<HistoryJson & { readonly next?: number }>(plane, { ...asked, at, from, history: true });
    for (const entry of page.entries) entries.push(entry);
    const { cluster_id, begin, decided_to, end, next } = page;
    if (next === undefined) return { cluster_id, begin, decided_to, end, entries };
    if (next <= (from ?? 0)) throw new Failure(`the plane did not get beyond entry ${next}; its log says why`);
    // What is written while we read is not read: the end would move as fast as we do.
    at ??= decided_to - 1;
    progress(next - begin, at - begin + 1);
    from = next;
  }
}

async function get<T>(
  plane: Plane,
  query: Readonly<Record<string, string | number | boolean | undefined>> | Asked,
): Promise<T> {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  const path = search.size === 0 ? PATH : `${PATH}?${search.toString()}`;
  const response = await plane.fetch(path, { patient: true });
  if (response.ok) return (await response.json()) as T;
  // The question makes no sense for this log; what the plane says is the whole answer.
  if (response.status === 409) throw new Failure((await response.text()).trim());
  throw new Failure(await describeRefusal(`GET ${PATH}`, response));
}
