// A Registrar with its calls answered by hand, and operations that read well in a failure.
import { millis } from "#base/time.ts";
import { seededRandom } from "#base/random.ts";
import type { CandidateId } from "#log/ballot.ts";
import type { AppendCall, ElectCall } from "#log/calls.ts";
import { type ClusterId, type Entry, position, type PositionedEntry, type ReplicaId } from "#log/entry.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import { encodeEntry } from "#registrar/codec.ts";
import type { AuditedOperation } from "#registrar/operations.ts";
import {
  createRegistrar,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
  type RegistrarOptions,
  step,
} from "#registrar/registrar.ts";

export const agentId = (number: number): AgentId => `m-S${number}` as AgentId;
export const info = (hostname = "host", port = 5051): AgentInfo => ({ hostname, port, resources: [], attributes: [] });
const audit = { who: "agents", when: millis(1_000), why: "registered" };

export const admit = (number: number, of: AgentInfo = info()): AuditedOperation => ({
  operation: {
    type: "admit-agent",
    agentId: agentId(number),
    info: of,
    hostKey: number.toString(16).padStart(32, "0") as HostKey,
    principal: "agents" as Principal,
  },
  audit,
});
export const update = (number: number, of: AgentInfo): AuditedOperation => ({
  operation: { type: "update-agent", agentId: agentId(number), info: of },
  audit,
});

export const MEMBERSHIP = { replicas: ["replica-1" as ReplicaId] };
export const MEMBERSHIP_ENTRY: Entry = { type: "membership", membership: MEMBERSHIP };
export const text = (data: string): Entry => ({ type: "append", data });
export const leaderEntry = (candidate = "master-1", masterId = "older"): Entry =>
  text(encodeEntry({ type: "leader", candidate, masterId: masterId as MasterId }));
export const operationsEntry = (...operations: AuditedOperation[]): Entry =>
  text(encodeEntry({ type: "operations", operations }));

export const OPTIONS: RegistrarOptions = {
  candidate: "master-1" as CandidateId,
  nonce: "nonce-1",
  newMasterId: "newer" as MasterId,
  clusterId: "cluster-1" as ClusterId,
};

/** Drives one Registrar; `effects` are those of the last input. */
export class TestRegistrar {
  readonly registrar: Registrar;
  readonly #random = seededRandom(7);
  now = 10_000;
  effects: readonly RegistrarEffect[] = [];

  constructor(options: Partial<RegistrarOptions> = {}) {
    this.registrar = createRegistrar({ ...OPTIONS, ...options });
  }

  input(input: RegistrarInput): readonly RegistrarEffect[] {
    this.effects = step(this.registrar, input, millis(this.now), this.#random);
    return this.effects;
  }

  apply(id: number, audited: AuditedOperation): readonly RegistrarEffect[] {
    return this.input({ type: "apply", id, audited });
  }

  /** The call of the last effects, of one type. */
  call(type: "append"): AppendCall;
  call(type: "elect"): ElectCall;
  call(type: "append" | "elect"): AppendCall | ElectCall {
    const effect = this.effects.find((found) => found.type === type);
    if (effect === undefined || (effect.type !== "append" && effect.type !== "elect"))
      throw new Error(`no ${type} effect`);
    return effect.call;
  }

  /** Answers the election with the log as `entries`, the first of which is at 1. */
  elected(entries: readonly Entry[]): readonly RegistrarEffect[] {
    const { ballot, from } = this.call("elect");
    const positioned = entries.map((entry, index): PositionedEntry => ({ position: position(index + 1), entry }));
    return this.input({
      type: "elect-answered",
      ballot,
      answer: {
        type: "elected",
        membership: MEMBERSHIP,
        membershipPosition: position(1),
        next: position(entries.length + 1),
        entries: positioned.filter((entry) => entry.position >= from),
      },
    });
  }

  appended(): readonly RegistrarEffect[] {
    return this.input({ type: "append-answered", ballot: this.call("append").ballot, answer: { type: "appended" } });
  }

  /** Leads over an empty log. */
  lead(forced = false): this {
    this.input({ type: "stand", forced });
    this.elected([MEMBERSHIP_ENTRY]);
    this.appended();
    return this;
  }
}

export const unavailable = { type: "unavailable", reason: "nobody answered", reachable: 0, replicas: 1 } as const;
