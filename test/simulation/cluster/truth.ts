// What the log says, as far as it is chosen: the registry that everybody must go by, and how it came about. Built from the chosen
// entries alone, with the Registrar's own replay.
import type { Entry } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import type { AgentId, FrameworkId, HostKey } from "#protocol/ids.ts";
import { decodeEntry } from "#registrar/codec.ts";
import type { Leader, Registry } from "#registrar/registry.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import { applyEntry, createReplay, type Replay } from "#registrar/replay.ts";

export type Departed = "unreachable" | "gone" | "removed";

export interface AgentHistory {
  readonly hostKey: HostKey;
  /** Positions of the entries that admitted it, or made it reachable again. */
  readonly admittedAt: number[];
  readonly departedAt: { readonly position: number; readonly what: Departed; readonly epoch: number }[];
}

export class Truth {
  readonly #chosen: ReadonlyMap<number, Entry>;
  readonly #violated: (rule: string) => void;
  readonly #replay: Replay;
  readonly registry: Registry = emptyRegistry();
  readonly agents = new Map<AgentId, AgentHistory>();
  readonly removedFrameworks = new Map<FrameworkId, number>();
  /** Leader entries, by epoch, and when the simulation saw them chosen. */
  readonly leaders = new Map<number, Leader & { readonly seenAt: number }>();
  /** First position that is not chosen, as far as was looked. */
  next = 1;
  #isStopped = false;

  constructor(chosen: ReadonlyMap<number, Entry>, violated: (rule: string) => void) {
    this.#chosen = chosen;
    this.#violated = violated;
    this.#replay = createReplay(this.registry);
  }

  /** Takes what has been chosen since. */
  follow(now: number): this {
    for (
      let entry = this.#chosen.get(this.next);
      entry !== undefined && !this.#isStopped;
      entry = this.#chosen.get(this.next)
    ) {
      const applied = applyEntry(this.#replay, { position: position(this.next), entry });
      if (applied.type === "stopped") {
        // [23] Every entry builds on the one before it.
        this.#violated(
          `invariant 23: the entry at ${this.next} does not follow from those before it: ${applied.reason}`,
        );
        this.#isStopped = true;
        return this;
      }
      if (entry.type === "append") this.#note(entry.data, now);
      this.next += 1;
    }
    return this;
  }

  #note(data: string, now: number): void {
    const decoded = decodeEntry(data);
    if (decoded.type !== "entry") return;
    const { entry } = decoded;
    const at = this.next;
    if (entry.type === "leader") {
      const { leader } = this.registry;
      if (leader !== undefined) this.leaders.set(at, { ...leader, seenAt: now });
      return;
    }
    if (entry.type !== "operations") return;
    const epoch = entry.leader?.epoch ?? 0;
    const depart = (agentId: AgentId, what: Departed): void =>
      void this.agents.get(agentId)?.departedAt.push({ position: at, what, epoch });
    for (const { operation } of entry.operations) {
      switch (operation.type) {
        case "admit-agent":
        case "readmit-agent":
        case "mark-agent-reachable": {
          const known = this.agents.get(operation.agentId);
          if (known === undefined) {
            this.agents.set(operation.agentId, { hostKey: operation.hostKey, admittedAt: [at], departedAt: [] });
          } else {
            if (known.hostKey !== operation.hostKey) this.#violated(`agent ${operation.agentId} belongs to two hosts`);
            known.admittedAt.push(at);
          }
          break;
        }
        case "mark-agent-unreachable":
          depart(operation.agentId, "unreachable");
          break;
        case "mark-agent-gone":
          depart(operation.agentId, "gone");
          break;
        case "remove-agent":
          depart(operation.agentId, "removed");
          break;
        case "remove-framework":
          if (!this.removedFrameworks.has(operation.frameworkId)) this.removedFrameworks.set(operation.frameworkId, at);
          break;
        default:
      }
    }
    this.#checkLists();
  }

  /** [26] An id is in one list at most; and a host has one id at a time. */
  #checkLists(): void {
    const { admitted, unreachable, gone } = this.registry;
    const hosts = new Map<HostKey, AgentId>();
    for (const list of [admitted, unreachable]) {
      for (const [agentId, { hostKey }] of list) {
        const other = hosts.get(hostKey);
        if (other !== undefined) this.#violated(`host ${hostKey} has the ids ${other} and ${agentId}`);
        hosts.set(hostKey, agentId);
        if (gone.has(agentId) || (list === admitted && unreachable.has(agentId)))
          this.#violated(`invariant 26: ${agentId} is in two lists`);
      }
    }
  }

  where(agentId: AgentId): "admitted" | "unreachable" | "gone" | "unknown" {
    const { admitted, unreachable, gone } = this.registry;
    if (admitted.has(agentId)) return "admitted";
    if (unreachable.has(agentId)) return "unreachable";
    return gone.has(agentId) ? "gone" : "unknown";
  }
}
