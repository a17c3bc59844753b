// Bootstraps a plane's log, once in its life: makes the cluster id, and asks for the first membership entry.
import { describeRefusal, type Plane } from "./plane.ts";

const PATH = "/mesoflare/init";

export interface Cluster {
  readonly cluster_id: string;
  readonly replicas: readonly string[];
}

export type Initialised =
  | { readonly type: "initialised"; readonly cluster: Cluster }
  /** The plane has a cluster id already, another one. */
  | { readonly type: "already"; readonly reason: string }
  | { readonly type: "refused"; readonly status: number; readonly reason: string };

/** Safe to repeat with the same id: an interrupted bootstrap goes on where it was. */
export async function initialise(plane: Plane, clusterId: string): Promise<Initialised> {
  const response = await plane.fetch(PATH, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ cluster_id: clusterId }),
  });
  if (response.ok) return { type: "initialised", cluster: (await response.json()) as Cluster };
  const reason = await describeRefusal(`POST ${PATH}`, response);
  return response.status === 409 ? { type: "already", reason } : { type: "refused", status: response.status, reason };
}
