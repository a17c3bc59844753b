// Which offer a task is launched on: the first that fits. And if none does, why, in words for a person.
import type { AgentId } from "#protocol/ids.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Offer } from "#protocol/scheduler.ts";

export interface Wanted {
  readonly cpus: number;
  /** Megabytes. */
  readonly memMb: number;
  /** Only this agent, when given. */
  readonly agentId?: AgentId;
}

/** Scalars count in thousandths, as in Mesos, so that 0.1 + 0.2 is 0.3. */
const thousandths = (value: number): number => Math.round(value * 1000);

export function scalarOf(resources: readonly Resource[], name: string): number {
  const sum = resources
    .filter((resource) => resource.name === name && resource.type === "SCALAR")
    .reduce((total, resource) => total + thousandths(resource.scalar?.value ?? 0), 0);
  return sum / 1000;
}

/** Why this offer cannot take the task, or undefined when it can. */
export function misfit(offer: Offer, { cpus, memMb, agentId }: Wanted): string | undefined {
  if (agentId !== undefined && offer.agent_id.value !== agentId) return `is not agent ${agentId}`;
  const offered = { cpus: scalarOf(offer.resources, "cpus"), memMb: scalarOf(offer.resources, "mem") };
  if (thousandths(offered.cpus) < thousandths(cpus)) return `offers ${offered.cpus} of ${cpus} cpus`;
  if (thousandths(offered.memMb) < thousandths(memMb)) return `offers ${offered.memMb} of ${memMb} MB`;
  return undefined;
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
