// Which offer a task is launched on: the first that fits. And if none does, why, in words for a person.
import type { AgentId } from "#protocol/ids.ts";
import { cut, type Offer, type Resource } from "#scheduler/index.ts";

export interface Wanted {
  readonly cpus: number;
  /** Megabytes. */
  readonly memMb: number;
  /** Only this agent, when given. */
  readonly agentId?: AgentId;
}

/** The resources of the task, cut out of this offer; or why the offer cannot take it. */
export type Fit =
  | { readonly type: "fits"; readonly resources: readonly Resource[] }
  | { readonly type: "misfit"; readonly why: string };

export function fit(offer: Offer, { cpus, memMb, agentId }: Wanted): Fit {
  if (agentId !== undefined && offer.agent_id.value !== agentId)
    return { type: "misfit", why: `is not agent ${agentId}` };
  const result = cut(offer.resources, { cpus, mem: memMb });
  if (result.type === "cut") return { type: "fits", resources: result.taken };
  const unit = result.name === "mem" ? "MB" : result.name;
  return { type: "misfit", why: `offers ${result.offered} of ${result.wanted} ${unit}` };
}

/** Most misfits that one explanation names. */
const MISFITS_SHOWN_MAX = 5;

export function explainWaiting(misfits: ReadonlyMap<AgentId, string>, { agentId }: Wanted): string {
  if (agentId !== undefined && !misfits.has(agentId)) {
    return `still waiting: agent ${agentId} has offered nothing (is it registered? 'mesoflare agents' lists them)`;
  }
  if (misfits.size === 0) return "still waiting: no agent has offered anything ('mesoflare agents' lists them)";
  const relevant = [...misfits].filter(([agent]) => agentId === undefined || agent === agentId);
  const shown = relevant.slice(0, MISFITS_SHOWN_MAX).map(([agent, why]) => `${agent} ${why}`);
  const more = relevant.length > shown.length ? `, and ${relevant.length - shown.length} more` : "";
  return `still waiting, nothing fits: ${shown.join("; ")}${more}`;
}
