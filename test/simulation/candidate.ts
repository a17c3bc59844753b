// One instance of a candidate in the simulation: the shell of src/durable-objects/candidate.ts. It stores ballots, makes the calls of its
// writer over the network, feeds the answers back, and reads what an election chose. Its calls in flight outlive it.
import { backoffMs } from "#base/backoff.ts";
import type { Random } from "#base/random.ts";
import { append } from "#log/append.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import type { AppendCall, MembershipChange, ReadAnswer } from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import type { Conversation } from "#log/conversation.ts";
import { elect } from "#log/elect.ts";
import type { Electorate, Entry, PositionedEntry, ReplicaId } from "#log/entry.ts";
import { FIRST_POSITION, position } from "#log/entry.ts";
import { prepare } from "#log/prepare.ts";
import { read } from "#log/read.ts";
import { settle } from "#log/settle.ts";
import type { Epoch } from "#protocol/ids.ts";
import { STAND_BACKOFF } from "#registrar/registrar.ts";
import type { BrokenRule } from "./broken-rules.ts";
import type { Checker } from "./checker.ts";
import type { Caller, Network } from "./network.ts";
import type { Schedule } from "./schedule.ts";
import { ballotOf, nextWakeOf, type Writer, type WriterEffect, type WriterInput } from "./writer.ts";

/** What survives an instance of a candidate. */
export interface Disk {
  ballot: Ballot | undefined;
  known: Electorate | undefined;
  epoch: Epoch | undefined;
}

export interface Surroundings {
  readonly schedule: Schedule;
  readonly network: Network;
  readonly random: Random;
  readonly checker: Checker;
  readonly broken: BrokenRule | undefined;
  readonly seeds: readonly ReplicaId[];
  /** Drawn before each effect is done: whether the instance dies just there. */
  readonly diesNow: () => boolean;
  readonly onElection: () => void;
  readonly onCommitted: (id: number) => void;
  readonly onLeading: (candidate: Candidate) => void;
  /** A membership entry is on its way to the replicas. */
  readonly onProposal: () => void;
}

export class Candidate implements Caller {
  readonly id: CandidateId;
  readonly disk: Disk;
  readonly writer: Writer;
  readonly cutTo = new Set<ReplicaId>();
  readonly cutFrom = new Set<ReplicaId>();
  pausedUntil = 0;
  isAlive = true;
  /** A newer instance has the disk: this one does not know, and its tables are not its own any more. */
  isSuperseded = false;
  /** When its last election began. */
  stoodAt = 0;
  /** It should not stand before this time: others who failed with it would only fence each other. */
  retryAt = 0;
  #attempts = 0;
  /** First position that it has not read. */
  #applied = FIRST_POSITION;
  readonly #around: Surroundings;
  #wakeAt: number | undefined;

  constructor(id: CandidateId, disk: Disk, writer: Writer, around: Surroundings) {
    this.id = id;
    this.disk = disk;
    this.writer = writer;
    this.#around = around;
  }

  get isLeading(): boolean {
    return this.isAlive && this.writer.isLeading;
  }

  /** Whether a change of the membership is on its way here. */
  get isChanging(): boolean {
    const { phase } = this.writer.coordinator;
    return phase.state === "elected" && phase.change !== undefined;
  }

  stand(): void {
    this.#do(this.writer.stand(this.#applied, this.#around.schedule.now));
  }

  submit(id: number, entries: readonly Entry[]): void {
    this.#do(this.writer.submit(id, entries, this.#around.schedule.now));
  }

  change(id: number, change: MembershipChange): void {
    this.#do(this.writer.change(id, change, this.#around.schedule.now));
  }

  confirm(): void {
    this.#input({ type: "confirm" });
  }

  #input(input: WriterInput): void {
    this.#do(this.writer.input(input, this.#around.schedule.now));
  }

  /** Answers belong to the instance that asked: after its death nobody is there to hear them. */
  #ask<Result>(conversation: Conversation<Result>, inputOf: (result: Result) => WriterInput): void {
    this.#around.network.converse(this, conversation, (result) => {
      const input = inputOf(result);
      if (this.isAlive) this.#input(input);
    });
  }

  #do(effects: readonly WriterEffect[]): void {
    for (const effect of effects) {
      if (this.#around.diesNow()) {
        this.isAlive = false;
        return;
      }
      this.#perform(effect);
    }
    this.disk.known = this.writer.coordinator.known ?? this.disk.known;
    this.#wake();
  }

  #wake(): void {
    const { schedule } = this.#around;
    const at = nextWakeOf(this.writer);
    if (at === undefined || at === this.#wakeAt) return;
    this.#wakeAt = at;
    schedule.after(Math.max(1, Math.ceil(at - schedule.now)), () => {
      if (!this.isAlive || this.#wakeAt !== at) return;
      this.#wakeAt = undefined;
      this.#input({ type: "tick" });
    });
  }

  #perform(effect: WriterEffect): void {
    const { checker, seeds, onElection, onCommitted } = this.#around;
    switch (effect.type) {
      case "store-ballot":
        this.disk.ballot = effect.ballot;
        return;
      case "elect": {
        const { call } = effect;
        this.stoodAt = this.#around.schedule.now;
        onElection();
        this.#ask(elect(call, seeds), (answer) => {
          if (answer.type === "elected") checker.elected(call.ballot, answer.next);
          return { type: "elect-answered", ballot: call.ballot, answer };
        });
        return;
      }
      case "append":
        this.#append(effect.call, effect.call);
        return;
      case "confirm": {
        const { call } = effect;
        this.#ask(confirm(call), (answer) => ({ type: "confirm-answered", ballot: call.ballot, answer }));
        return;
      }
      case "settle": {
        const { call } = effect;
        this.#ask(settle(call), (answer) => ({ type: "settle-answered", ballot: call.ballot, answer }));
        return;
      }
      case "prepare": {
        const { ballot, call } = effect;
        this.#ask(prepare(call), (answer) => ({ type: "prepare-answered", ballot, answer }));
        return;
      }
      case "read": {
        const { ballot, call } = effect;
        this.#ask(read(call, seeds), (answer) => {
          this.#onRead(call.from, answer);
          const taken = this.#around.broken === "snapshot" ? countingEveryChunk(answer) : answer;
          return { type: "read-answered", ballot, answer: taken };
        });
        return;
      }
      case "gather":
        this.#around.schedule.after(1, () => {
          if (this.isAlive) this.#input({ type: "gathered" });
        });
        return;
      case "elected":
        this.#attempts = 0;
        this.#readUpTo(effect.next - 1);
        return;
      case "leading":
        if (this.isSuperseded) return; // its disk is another instance's
        if (effect.fresh) this.disk.epoch = effect.epoch;
        else if (this.disk.epoch !== effect.epoch) {
          checker.violated(`${this.id} keeps epoch ${effect.epoch}, its tables are of another`);
        }
        this.#around.onLeading(this);
        return;
      case "appended":
        onCommitted(effect.id);
        return;
      case "outcome":
        if (effect.outcome.type === "committed") onCommitted(effect.id);
        return;
      case "confirmed": {
        const { phase } = this.writer.coordinator;
        const ballot = ballotOf(this.writer);
        if (phase.state === "elected" && ballot !== undefined) {
          checker.confirmed(ballot, phase.electorate.position, effect.at);
        }
        return;
      }
      case "lost":
      case "not-leading":
        // What was chosen can be applied by everybody, or nobody will ever lead again.
        if (effect.reason.includes("cannot apply")) checker.violated(`registry: ${this.id}: ${effect.reason}`);
        this.retryAt = this.#around.schedule.now + backoffMs(this.#around.random, this.#attempts, STAND_BACKOFF);
        this.#attempts += 1;
        return;
      case "changed":
      case "membership-changed":
        return;
    }
  }

  #append(asked: AppendCall, call: AppendCall): void {
    const { checker, broken, onProposal } = this.#around;
    if (call.entries.at(-1)?.type === "membership") onProposal();
    this.#ask(append(call), (answer) => {
      if (answer.type === "appended") checker.appended(call.ballot, call.position, call.entries);
      if (answer.type === "refused" && broken === "H3" && this.isAlive) {
        // As Mesos does: the rejected writer takes over the ballot that beat it, and stays elected.
        this.#append(asked, { ...call, ballot: answer.promised });
        return { type: "tick" };
      }
      return { type: "append-answered", ballot: asked.ballot, answer };
    });
  }

  /** A plain coordinator reads what its election chose, as a Registrar replays it. */
  #readUpTo(through: number): void {
    if (this.#applied > through) return;
    const { network, seeds, schedule } = this.#around;
    const from = this.#applied;
    const call = {
      clusterId: this.writer.coordinator.options.clusterId,
      from,
      to: position(through),
      entriesMax: 500,
      known: this.writer.coordinator.known,
    };
    network.converse(this, read(call, seeds), (answer) => {
      this.#onRead(from, answer);
      if (!this.isAlive || answer.type !== "entries" || answer.decidedTo <= from) return;
      this.#applied = answer.decidedTo;
      schedule.after(1, () => this.#readUpTo(through));
    });
  }

  #onRead(from: number, answer: ReadAnswer): void {
    if (answer.type !== "entries") return;
    this.#around.checker.toldFrom("a read", Math.max(from, answer.begin), answer.entries);
  }
}

/** What [R22] forbids: to whoever reads it, a snapshot ends with its first chunk. */
function countingEveryChunk(answer: ReadAnswer): ReadAnswer {
  if (answer.type !== "entries") return answer;
  const entries = answer.entries.map(({ position: at, entry }): PositionedEntry => {
    if (entry.type !== "append" || !entry.data.includes('"type":"snapshot"')) return { position: at, entry };
    return { position: at, entry: { type: "append", data: entry.data.replace('"last":false', '"last":true') } };
  });
  return { ...answer, entries };
}
