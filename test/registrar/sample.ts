// A Registrar with its calls answered by hand, and operations that read well in a failure.
import { present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import { seededRandom } from "#base/random.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { AppendCall, ElectCall, ReadCall, SettleCall } from "#log/calls.ts";
import {
  type ClusterId,
  type Electorate,
  type Entry,
  FIRST_POSITION,
  type Incarnation,
  position,
  type PositionedEntry,
  type ReplicaId,
} from "#log/entry.ts";
import type { AgentInfo } from "#protocol/agent.ts";
import type { AgentId, Epoch, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import { encodeEntry } from "#registrar/codec.ts";
import type { AuditedOperation } from "#registrar/operations.ts";
import type { Leader } from "#registrar/registry.ts";
import {
  ballotOf,
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
    strict: true,
  },
  audit,
});
export const update = (number: number, of: AgentInfo): AuditedOperation => ({
  operation: { type: "update-agent", agentId: agentId(number), info: of },
  audit,
});

export const MEMBERSHIP = { seats: [{ replica: "replica-1" as ReplicaId, incarnation: "life 1" as Incarnation }] };
export const ELECTORATE: Electorate = { membership: MEMBERSHIP, position: FIRST_POSITION };
export const MEMBERSHIP_ENTRY: Entry = { type: "membership", membership: MEMBERSHIP };
export const text = (data: string): Entry => ({ type: "append", data });
export const leaderEntry = (candidate = "master-1", masterId = "older"): Entry =>
  text(encodeEntry({ type: "leader", candidate, masterId: masterId as MasterId }));
export const leader = (epoch = 2, candidate = "master-1", masterId = "older"): Leader => ({
  candidate,
  masterId: masterId as MasterId,
  epoch: epoch as Epoch,
});
/** Written under whoever leads, as the entries of release 0.1.0 were. */
export const operationsEntry = (...operations: AuditedOperation[]): Entry =>
  text(JSON.stringify({ v: 1, type: "operations", operations }));
export const operationsUnder = (by: Leader, ...operations: AuditedOperation[]): Entry =>
  text(encodeEntry({ type: "operations", leader: by, operations }));

export const OPTIONS: RegistrarOptions = {
  candidate: "master-1" as CandidateId,
  nonce: "nonce-1",
  newMasterId: () => "newer" as MasterId,
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
  call(type: "read"): ReadCall;
  call(type: "settle"): SettleCall;
  call(type: "append" | "elect" | "read" | "settle"): AppendCall | ElectCall | ReadCall | SettleCall {
    const effect = this.effects.find((found) => found.type === type);
    if (effect === undefined || !("call" in effect) || effect.type !== type) throw new Error(`no ${type} effect`);
    return effect.call;
  }

  get ballot(): Ballot {
    return present(ballotOf(this.registrar), "a ballot");
  }

  /** Answers the election with the log as `entries`, the first of which is at 1, and the reads that follow. */
  elected(entries: readonly Entry[], { pageMax = 100, begin = 1 } = {}): readonly RegistrarEffect[] {
    const next = position(entries.length + 1);
    const answer = { type: "elected", electorate: ELECTORATE, begin: position(begin), next } as const;
    this.input({ type: "elect-answered", ballot: this.ballot, answer });
    const all = [...this.effects.filter(({ type }) => type !== "read")];
    while (this.effects.some(({ type }) => type === "read")) {
      this.read(entries, pageMax, begin);
      all.push(...this.effects.filter(({ type }) => type !== "read"));
    }
    this.effects = all;
    return all;
  }

  /** Answers the reads that look for the newest entry that says where to begin, up to the first read of the replay. */
  located(entries: readonly Entry[], begin = 1): this {
    while (this.registrar.phase.state === "locating") this.read(entries, 100, begin);
    return this;
  }

  /** Answers a read with a page of `entries`, the first of which is at 1. */
  read(entries: readonly Entry[], pageMax = 100, begin = 1): readonly RegistrarEffect[] {
    const { from: asked, to, entriesMax } = this.call("read");
    const from = Math.max(asked, begin);
    const positioned = entries.map((entry, index): PositionedEntry => ({ position: position(index + 1), entry }));
    const wanted = positioned.filter((entry) => entry.position >= from && entry.position <= (to ?? Infinity));
    const page = wanted.slice(0, Math.min(pageMax, entriesMax));
    return this.input({
      type: "read-answered",
      ballot: this.ballot,
      answer: {
        type: "entries",
        entries: page,
        begin: position(begin),
        decidedTo: position(from + page.length),
        end: position(entries.length),
      },
    });
  }

  appended(electorate: Electorate = ELECTORATE): readonly RegistrarEffect[] {
    return this.input({ type: "append-answered", ballot: this.ballot, answer: { type: "appended", electorate } });
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
