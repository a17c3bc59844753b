// A coordinator whose calls are held with a TestCluster at once: for what takes elections, appends and settlements together.
import { millis, type Millis } from "#base/time.ts";
import { append } from "#log/append.ts";
import type { CandidateId } from "#log/ballot.ts";
import type { MembershipChange } from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import {
  ballotOf,
  type ChangeOutcome,
  coordinate,
  type Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  createCoordinator,
  nextWake,
} from "#log/coordinator.ts";
import { elect } from "#log/elect.ts";
import { type Electorate, type Entry, position, type ReplicaId } from "#log/entry.ts";
import { prepare } from "#log/prepare.ts";
import { settle } from "#log/settle.ts";
import type { TestCluster } from "./cluster.ts";
import { CLUSTER, value } from "./sample.ts";

/** Effects for the owner, the others are carried out. */
type Told = Extract<CoordinatorEffect, { type: "elected" | "appended" | "changed" | "confirmed" | "lost" }>;

export class TestLeader {
  readonly coordinator: Coordinator;
  readonly cluster: TestCluster;
  /** The replicas that its configuration names. */
  readonly seeds: readonly ReplicaId[];
  readonly told: Told[] = [];
  now: Millis = millis(10_000);
  #ids = 0;

  constructor(
    cluster: TestCluster,
    { name = "master-1", seeds, known }: { name?: string; seeds?: readonly ReplicaId[]; known?: Electorate } = {},
  ) {
    this.cluster = cluster;
    this.seeds = seeds ?? [...cluster.replicas.keys()];
    const candidate = name as CandidateId;
    this.coordinator = createCoordinator({ candidate, nonce: "n", clusterId: CLUSTER, known });
  }

  /** Gives it an input and everything that follows from it. */
  input(input: CoordinatorInput): readonly Told[] {
    const before = this.told.length;
    const open = coordinate(this.coordinator, input, this.now);
    for (let effect = open.shift(); effect !== undefined; effect = open.shift()) {
      const answer = this.#do(effect);
      if (answer !== undefined) open.push(...coordinate(this.coordinator, answer, this.now));
    }
    return this.told.slice(before);
  }

  #do(effect: CoordinatorEffect): CoordinatorInput | undefined {
    const { cluster, seeds } = this;
    switch (effect.type) {
      case "elect":
        return { type: "elect-answered", ballot: effect.call.ballot, answer: cluster.call(elect(effect.call, seeds)) };
      case "append":
        return { type: "append-answered", ballot: effect.call.ballot, answer: cluster.call(append(effect.call)) };
      case "confirm":
        return { type: "confirm-answered", ballot: effect.call.ballot, answer: cluster.call(confirm(effect.call)) };
      case "settle":
        return { type: "settle-answered", ballot: effect.call.ballot, answer: cluster.call(settle(effect.call)) };
      case "prepare":
        return { type: "prepare-answered", ballot: effect.ballot, answer: cluster.call(prepare(effect.call)) };
      case "gather":
        return { type: "gathered" };
      case "store-ballot":
        return undefined;
      default:
        this.told.push(effect);
        return undefined;
    }
  }

  get isElected(): boolean {
    return this.coordinator.phase.state === "elected";
  }

  /** Stands until it is elected, each time above the ballot that refused it; a few times at most. */
  elect(from = 1): this {
    for (let attempt = 0; attempt < 5 && !this.isElected; attempt++) {
      this.input({ type: "elect", from: position(from) });
    }
    return this;
  }

  append(...data: readonly string[]): readonly Told[] {
    return this.appendEntries(...data.map(value));
  }

  appendEntries(...entries: readonly Entry[]): readonly Told[] {
    return this.input({ type: "append", id: ++this.#ids, entries });
  }

  change(change: MembershipChange): ChangeOutcome | undefined {
    const id = ++this.#ids;
    const told = this.input({ type: "change", id, change });
    const changed = told.find((effect) => effect.type === "changed" && effect.id === id);
    return changed?.type === "changed" ? changed.outcome : undefined;
  }

  /** Lets time pass, with a tick whenever one is due. */
  pass(ms: number): this {
    const until = this.now + ms;
    for (let wake = nextWake(this.coordinator); wake !== undefined && wake <= until;) {
      this.now = millis(Math.max(this.now, wake));
      this.input({ type: "tick" });
      const next = nextWake(this.coordinator);
      if (next === wake) throw new Error("a tick that is due changes nothing");
      wake = next;
    }
    this.now = millis(until);
    return this;
  }

  get members(): readonly ReplicaId[] {
    return this.coordinator.known?.membership.seats.map(({ replica }) => replica) ?? [];
  }

  get ballot() {
    const ballot = ballotOf(this.coordinator);
    if (ballot === undefined) throw new Error("no ballot");
    return ballot;
  }
}
