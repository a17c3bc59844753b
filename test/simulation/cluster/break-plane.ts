// Looks into the shipped shells where they meet the cores, at the tables: each turn of a master passes there before anything leaves. The
// same place, and the batches of the gateways, is where rules of the plane are switched off, one at a time.
import type { CheckIn, GatewayBatch } from "#protocol/gateway.ts";
import { millis } from "#base/time.ts";
import type { AgentId, Epoch, SessionId } from "#protocol/ids.ts";
import type { Leadership } from "#protocol/leadership.ts";
import { isTerminal } from "#protocol/task.ts";
import { contains } from "#resources/resources.ts";
import { recover } from "../../../src/master/allocation.ts";
import { allocatedOn, setQuota } from "../../../src/master/allocator/hierarchical.ts";
import { onUnreachable } from "../../../src/master/departure.ts";
import { type Master, socketKey } from "../../../src/master/state.ts";
import type { ClusterRule } from "./broken-rules.ts";
import { inside, type Isolate } from "./isolate.ts";
import { Candidate, MasterTables, type Tables } from "./shells.ts";

export interface Hooks {
  readonly isHere: (isolate: Isolate | undefined) => isolate is Isolate;
  readonly onLoad: (isolate: Isolate, master: Master) => void;
  /** A turn is stored; its effects are still to be done. `marked`: agents whose rows were written. */
  readonly onSaved: (isolate: Isolate, master: Master, marked: readonly AgentId[]) => void;
}

export interface Breakage {
  onBatch(master: Master | undefined, batch: GatewayBatch): GatewayBatch;
  onCheckIn(checkIn: CheckIn): CheckIn;
  /** Returns what undoes it. */
  install(hooks: Hooks): () => void;
}

export function breakPlane(broken: ClusterRule | undefined): Breakage {
  const parts = new Map<string, number>();
  return {
    onBatch: (master, batch) => brokenBatch(broken, master, batch, parts),
    onCheckIn: (checkIn) => (broken === "unbooked-socket" ? { ...checkIn, sockets: 0 } : checkIn),
    install(hooks) {
      const { load, save, beginEpoch } = MasterTables.prototype;
      const { lead } = Candidate.prototype;
      const patch = (methods: Partial<Tables>): void => void Object.assign(MasterTables.prototype, methods);
      patch({
        load(master) {
          load.call(this, master);
          const isolate = inside();
          if (hooks.isHere(isolate)) hooks.onLoad(isolate, master);
        },
        save(master) {
          const isolate = inside();
          if (!hooks.isHere(isolate)) return save.call(this, master);
          brokenTurn(broken, master, isolate.now);
          const marked = [...master.marked.agents];
          save.call(this, master);
          // Should it have died over it, nothing of this turn ever was.
          if (isolate.isAlive) hooks.onSaved(isolate, master, marked);
        },
      });
      if (broken === "stale-cache")
        patch({
          beginEpoch(epoch) {
            this.setMeta("epoch", epoch);
          },
        });
      if (broken === "stale-leader" || broken === "future-confirmation")
        Candidate.prototype.lead = function (this: unknown, since): Promise<Leadership> {
          const { leading, registrar, confirmedAt } = this as LeadingCandidate;
          const phase = registrar?.phase;
          const isolate = inside();
          if (!leading || phase?.state !== "leading" || isolate === undefined) return lead.call(this, since);
          const isTrusted = broken === "stale-leader" || confirmedAt > (since ?? isolate.now - CONFIRMATION_MS_MAX);
          if (!isTrusted) return lead.call(this, since);
          return Promise.resolve({ type: "leading", candidate: isolate.name, epoch: phase.epoch });
        };
      return () => {
        patch({ load, save, beginEpoch });
        Candidate.prototype.lead = lead;
      };
    },
  };
}

/** As candidate.ts has it, ms. */
const CONFIRMATION_MS_MAX = 5_000;

interface LeadingCandidate {
  readonly leading: boolean;
  readonly confirmedAt: number;
  readonly registrar: { readonly phase: { readonly state: string; readonly epoch: Epoch } } | undefined;
}

/** A turn of the master as it should not be: called before its rows are written and its effects are done. */
function brokenTurn(broken: ClusterRule | undefined, master: Master, now: number): void {
  if (broken === "books") {
    const [lost] = [...master.tasksByAgent.values()].flatMap((tasks) =>
      [...tasks].filter(({ latest }) => !isTerminal(latest)),
    );
    const isHeld = lost !== undefined && contains(allocatedOn(master.allocator, lost.agentId), lost.resources);
    if (isHeld) recover(master, lost);
  }
  if (broken === "limit") for (const role of master.quotaRoles) setQuota(master.allocator, role, undefined);
  for (const effect of [...master.effects]) {
    if (effect.type !== "registry") continue;
    const { operation } = effect;
    const pending = master.operations.get(effect.id);
    const from = pending?.type === "registration" ? pending.from : undefined;
    if (broken === "news-before-registry" && operation.type === "mark-agent-unreachable")
      onUnreachable(master, operation.agentId, millis(now), millis(now));
    if (from === undefined) continue;
    if (broken === "registered-before-commit" && operation.type === "admit-agent") {
      const { epoch, clusterId } = master;
      const { agentId } = operation;
      const session = `early-${effect.id}` as SessionId;
      const message = { type: "registered", agentId, epoch, session, clusterId } as const;
      master.effects.push({ type: "send", to: from, message });
    }
    if (
      broken === "shutdown-unasked" &&
      (operation.type === "readmit-agent" || operation.type === "mark-agent-reachable")
    ) {
      const { epoch } = master;
      const message = {
        type: "shutdown",
        agentId: operation.agentId,
        epoch,
        reason: "it is not in the books",
      } as const;
      master.effects.push({ type: "send", to: from, message });
    }
  }
}

function brokenBatch(
  broken: ClusterRule | undefined,
  master: Master | undefined,
  batch: GatewayBatch,
  parts: Map<string, number>,
): GatewayBatch {
  switch (broken) {
    case "live-set": {
      const { live: _, ...rest } = batch;
      return rest;
    }
    case "report-hole":
      return {
        ...batch,
        items: batch.items.map((item) => {
          if (item.type !== "message" || item.message.type !== "register") return item;
          const key = socketKey({ gateway: batch.gateway, socketId: item.socketId });
          // Whatever part it is: to the master it is the next one.
          const part = item.message.part === 1 ? 1 : (parts.get(key) ?? 0) + 1;
          parts.set(key, item.message.more ? part : 0);
          return { ...item, message: { ...item.message, part } };
        }),
      };
    case "clone":
      return {
        ...batch,
        items: batch.items.map((item) => {
          if (item.type !== "message" || item.message.type !== "register") return item;
          const { agentId } = item.message;
          const session = agentId === undefined ? undefined : master?.agents.get(agentId)?.session;
          if (session === undefined) return item;
          return { ...item, message: { ...item.message, lastSession: session } };
        }),
      };
    default:
      return batch;
  }
}
