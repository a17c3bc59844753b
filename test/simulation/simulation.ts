// The real cores (replicas, conversations, Registrars) in one thread on virtual time, from one seed. The seed draws the
// cluster and its faults: loss, delay, duplication, reordering, partitions, crashes before and after a replica has
// stored, damaged and lost disks, racing candidates, and new instances of a candidate while the old one's calls are still in flight.
import { integerBetween, pick, type Random, seededRandom } from "#base/random.ts";
import { InvariantError, present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import { append } from "#log/append.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type { AppendCall, ElectAnswer, ReadAnswer } from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import { type Concluded, type Conversation, ROUND_DEADLINE_MS } from "#log/conversation.ts";
import { elect } from "#log/elect.ts";
import { type ClusterId, type Membership, position, quorumOf, type ReplicaId } from "#log/entry.ts";
import { read } from "#log/read.ts";
import type { Heard, Round, Send } from "#log/round.ts";
import type { AgentId, Epoch, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import type { AuditedOperation } from "#registrar/operations.ts";
import {
  ballotOf,
  createRegistrar,
  isLeading,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
  step,
} from "#registrar/registrar.ts";
import { Checker } from "./checker.ts";
import { type BrokenRule, ReplicaHost } from "./replica-host.ts";
import { Schedule } from "./schedule.ts";

export interface SimulationOptions {
  readonly broken?: BrokenRule;
  /** Virtual time with faults, ms. */
  readonly faultyMs?: number;
}

export interface SimulationResult {
  readonly seed: number;
  readonly messages: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly chosen: number;
  readonly acknowledged: number;
  readonly elections: number;
  readonly violations: readonly string[];
}

export const FAULT_KINDS = [
  "lost",
  "late",
  "duplicated",
  "error",
  "partition",
  "crash",
  "crash-after-store",
  "instance",
  "damage",
  "lost-storage",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

const FAULTY_MS = 10_000;
/** Longest delay of a late message, ms: well beyond the deadline of a round. */
const LATE_MS_MAX = 5_000;
/** Time in which a healed cluster must lead and append, ms: the longest pause of a candidate, and some rounds. */
const CONVERGE_MS = 40_000;
const STEP_MS = 10;
const CLUSTER = "simulated" as ClusterId;

interface Weather {
  readonly loss: number;
  readonly late: number;
  readonly duplicate: number;
  readonly error: number;
  readonly crashAfterStore: number;
}
const CALM: Weather = { loss: 0, late: 0, duplicate: 0, error: 0, crashAfterStore: 0 };

/** What survives an instance of a candidate. */
interface Disk {
  ballot: Ballot | undefined;
  epoch: Epoch | undefined;
}
interface Candidate {
  readonly id: CandidateId;
  readonly disk: Disk;
  registrar: Registrar;
  /** Replicas that it cannot reach. */
  readonly cut: Set<ReplicaId>;
}

export class Simulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #schedule = new Schedule();
  readonly #membership: Membership;
  readonly #checker: Checker;
  readonly #replicas = new Map<ReplicaId, ReplicaHost>();
  readonly #candidates: Candidate[] = [];
  readonly #broken: BrokenRule | undefined;
  readonly #faultyMs: number;
  readonly #acknowledged = new Set<AgentId>();
  readonly #faults: Record<FaultKind, number>;
  #weather: Weather = CALM;
  #isFaulty = true;
  /** Nobody stands or appends any more but the witness. */
  #isQuiet = false;
  #messages = 0;
  #elections = 0;
  #operations = 0;
  #instances = 0;

  constructor(seed: number, { broken, faultyMs = FAULTY_MS }: SimulationOptions = {}) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#broken = broken;
    this.#faultyMs = faultyMs;
    this.#faults = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;
    const size = pick(this.#random, [3, 3, 5]);
    const replicas = Array.from({ length: size }, (_, index) => `replica-${index + 1}` as ReplicaId);
    this.#membership = { replicas };
    this.#checker = new Checker(
      quorumOf(this.#membership),
      { type: "membership", membership: this.#membership },
      () => this.#schedule.now,
    );
    for (const id of replicas) this.#replicas.set(id, new ReplicaHost(id, this.#checker, broken));
    const candidates = integerBetween(this.#random, 2, 3);
    for (let number = 1; number <= candidates; number++) {
      const id = `master-${number}` as CandidateId;
      const disk: Disk = { ballot: undefined, epoch: undefined };
      this.#candidates.push({ id, disk, registrar: this.#instance(id, disk), cut: new Set() });
    }
  }

  run(): SimulationResult {
    try {
      this.#runAll();
    } catch (error) {
      // An assertion of the cores is a finding like any other; anything else is a bug of the simulation.
      if (!(error instanceof InvariantError)) throw error;
      this.#checker.violated(`assertion: ${error.message}`);
    }
    return {
      seed: this.#seed,
      messages: this.#messages,
      faults: this.#faults,
      chosen: this.#checker.chosen.size,
      acknowledged: this.#acknowledged.size,
      elections: this.#elections,
      violations: this.#checker.violations,
    };
  }

  #runAll(): void {
    this.#converse(undefined, bootstrap({ clusterId: CLUSTER }, this.#membership.replicas), ({ answer }) => {
      if (answer.type !== "bootstrapped") this.#checker.violated(`the bootstrap said ${answer.type}`);
    });
    this.#schedule.runUntil(this.#schedule.now + 1_000);

    this.#weather = {
      loss: this.#random.next() * 0.3,
      late: this.#random.next() * 0.3,
      duplicate: this.#random.next() * 0.1,
      error: this.#random.next() * 0.05,
      crashAfterStore: this.#random.next() * 0.01,
    };
    const faultyUntil = this.#schedule.now + this.#faultyMs;
    this.#live();
    this.#disturb();
    this.#ruin();
    this.#runUntil(faultyUntil);
    this.#heal();
    this.#converge();
  }

  #runUntil(until: number): void {
    while (this.#schedule.now < until && this.#checker.violations.length === 0) {
      this.#schedule.runUntil(this.#schedule.now + STEP_MS);
    }
  }

  #heal(): void {
    this.#isFaulty = false;
    this.#weather = CALM;
    for (const candidate of this.#candidates) candidate.cut.clear();
    for (const replica of this.#replicas.values()) if (!replica.isUp) replica.restart();
  }

  /** Liveness: one candidate stands whenever nobody leads; before long it must lead, append, and hold all that was acknowledged. */
  #converge(): void {
    // Late calls of the faulty time come first: what is appended before them proves little.
    this.#runUntil(this.#schedule.now + LATE_MS_MAX);
    const before = this.#acknowledged.size;
    const until = this.#schedule.now + CONVERGE_MS;
    while (this.#acknowledged.size === before && this.#schedule.now < until) {
      this.#runUntil(this.#schedule.now + STEP_MS);
      if (this.#checker.violations.length > 0) return;
    }
    if (this.#acknowledged.size === before) {
      this.#checker.violated("liveness: a healed cluster acknowledged nothing");
      return;
    }
    // What the last reader of the log sees: a fresh instance, replaying everything.
    const witness = createRegistrar({
      candidate: "witness" as CandidateId,
      nonce: "witness",
      newMasterId: "witness" as MasterId,
      clusterId: CLUSTER,
      storedBallot: { counter: 1_000_000, candidate: "witness" as CandidateId, nonce: "" },
    });
    const candidate: Candidate = {
      id: "witness" as CandidateId,
      disk: { ballot: undefined, epoch: undefined },
      registrar: witness,
      cut: new Set(),
    };
    this.#isQuiet = true;
    const acknowledged = [...this.#acknowledged];
    this.#input(candidate, { type: "stand" });
    this.#schedule.runUntil(this.#schedule.now + ROUND_DEADLINE_MS);
    if (!isLeading(witness)) this.#checker.violated("liveness: the witness could not lead a healed cluster");
    for (const agentId of acknowledged) {
      if (!witness.registry.admitted.has(agentId))
        this.#checker.violated(`acknowledged ${agentId} is not in the registry`);
    }
  }

  /** Candidates stand when nobody leads, leaders get operations, somebody reads. */
  #live(): void {
    const random = this.#random;
    // From a quiet cluster to one where candidates fence each other all the time.
    const eagerness = random.next() * 0.4;
    for (const candidate of this.#candidates) {
      const tend = (): void => {
        if (this.#isQuiet) return;
        if (isLeading(candidate.registrar)) {
          for (let left = integerBetween(random, 0, 3); left > 0; left--) this.#submit(candidate);
          if (random.next() < 0.5) this.#input(candidate, { type: "confirm" });
        } else if (!this.#isFaulty && !this.#candidates.some(({ registrar }) => isLeading(registrar))) {
          this.#input(candidate, { type: "stand" });
        } else if (this.#isFaulty && random.next() < eagerness) {
          this.#input(candidate, { type: "stand", forced: random.next() < 0.5 });
        }
        this.#schedule.after(integerBetween(random, 20, 200), tend);
      };
      this.#schedule.after(integerBetween(random, 0, 200), tend);
    }
    const readSome = (): void => {
      const from = position(integerBetween(random, 1, this.#checker.chosen.size));
      const seeds = this.#membership.replicas;
      const reading = read({ clusterId: CLUSTER, from, entriesMax: 50 }, seeds);
      this.#converse(pick(random, this.#candidates), reading, ({ answer }) => this.#onRead(answer));
      this.#schedule.after(integerBetween(random, 200, 800), readSome);
    };
    this.#schedule.after(300, readSome);
  }

  #onRead(answer: ReadAnswer): void {
    if (answer.type === "entries") this.#checker.told("a read", answer.entries);
  }

  #submit(candidate: Candidate): void {
    const id = ++this.#operations;
    this.#input(candidate, { type: "apply", id, audited: admission(id) });
  }

  #disturb(): void {
    if (!this.#isFaulty) return;
    const random = this.#random;
    const replica = pick(random, [...this.#replicas.values()]);
    const candidate = pick(random, this.#candidates);
    switch (integerBetween(random, 0, 4)) {
      case 0:
        if (replica.isUp) this.#crash(replica, "crash");
        break;
      case 1:
        this.#count("partition");
        for (const id of this.#replicas.keys()) if (random.next() < 0.5) candidate.cut.add(id);
        break;
      case 2:
      case 3:
        candidate.cut.clear();
        break;
      default:
        // The old instance's conversations go on; nobody hears their answers any more.
        this.#count("instance");
        candidate.registrar = this.#instance(candidate.id, candidate.disk);
    }
    this.#schedule.after(integerBetween(random, 50, 800), () => this.#disturb());
  }

  /** Draws how many replicas are ruined for good and when: always a minority, for nothing recovers them yet. */
  #ruin(): void {
    const random = this.#random;
    const ids = [...this.#membership.replicas];
    const ruined = integerBetween(random, 0, ids.length - quorumOf(this.#membership));
    for (let count = 0; count < ruined; count++) {
      const [id] = ids.splice(integerBetween(random, 0, ids.length - 1), 1);
      const replica = this.#replicas.get(present(id, "a replica"));
      const kind = pick(random, ["damage", "lost-storage"] as const);
      this.#schedule.after(integerBetween(random, 0, this.#faultyMs), () => {
        this.#count(kind);
        if (kind === "lost-storage") replica?.loseStorage();
        else replica?.damage(position(integerBetween(random, 1, Math.max(1, replica.state.end))));
      });
    }
  }

  #crash(replica: ReplicaHost, kind: "crash" | "crash-after-store"): void {
    this.#count(kind);
    replica.isUp = false;
    this.#schedule.after(integerBetween(this.#random, 50, 2_000), () => {
      if (!replica.isUp) replica.restart();
    });
  }

  #instance(id: CandidateId, disk: Disk): Registrar {
    const number = ++this.#instances;
    return createRegistrar({
      candidate: id,
      nonce: `instance-${number}`,
      newMasterId: `master-id-${number}` as MasterId,
      clusterId: CLUSTER,
      storedBallot: disk.ballot,
      cachedEpoch: disk.epoch,
    });
  }

  // ---- one candidate's shell

  #input(candidate: Candidate, input: RegistrarInput): void {
    const { registrar } = candidate;
    for (const effect of step(registrar, input, millis(this.#schedule.now), this.#random)) {
      this.#perform(candidate, registrar, effect);
    }
  }

  #perform(candidate: Candidate, registrar: Registrar, effect: RegistrarEffect): void {
    const seeds = this.#membership.replicas;
    // Answers belong to the instance that asked: after a restart nobody is there to hear them.
    const reply = (input: RegistrarInput): void => {
      if (candidate.registrar === registrar) this.#input(candidate, input);
    };
    switch (effect.type) {
      case "store-ballot":
        candidate.disk.ballot = effect.ballot;
        return;
      case "elect": {
        const { call } = effect;
        this.#elections += 1;
        this.#converse(candidate, elect(call, seeds), ({ answer }) => {
          this.#onElected(answer);
          reply({ type: "elect-answered", ballot: call.ballot, answer });
        });
        return;
      }
      case "append":
        this.#append(candidate, effect.call, effect.call, reply);
        return;
      case "confirm": {
        const { call } = effect;
        this.#converse(candidate, confirm(call, seeds), ({ answer }) => {
          reply({ type: "confirm-answered", ballot: call.ballot, answer });
        });
        return;
      }
      case "leading":
        if (effect.fresh) candidate.disk.epoch = effect.epoch;
        else if (candidate.disk.epoch !== effect.epoch) {
          this.#checker.violated(`${candidate.id} keeps epoch ${effect.epoch}, its tables are of another`);
        }
        this.#checker.leads(candidate.id, effect.epoch, registrar.next);
        return;
      case "outcome":
        if (effect.outcome.type === "committed") this.#acknowledged.add(agentIdOf(effect.id));
        return;
      case "confirmed":
        this.#checker.confirmed(present(ballotOf(registrar), "a leader's ballot"), effect.at);
        return;
      case "not-leading":
        return;
    }
  }

  #onElected(answer: ElectAnswer): void {
    if (answer.type === "elected") this.#checker.told("an election", answer.entries);
  }

  #append(candidate: Candidate, asked: AppendCall, call: AppendCall, reply: (input: RegistrarInput) => void): void {
    this.#converse(candidate, append(call, this.#membership.replicas), ({ answer }) => {
      if (answer.type === "appended") {
        const entries = call.entries.map((entry, index) => ({ position: position(call.position + index), entry }));
        this.#checker.told("an append", entries);
      }
      if (answer.type === "refused" && this.#broken === "H3") {
        // As Mesos does: the rejected writer takes over the ballot that beat it, and stays elected.
        this.#append(candidate, asked, { ...call, ballot: answer.promised }, reply);
        return;
      }
      reply({ type: "append-answered", ballot: asked.ballot, answer });
    });
  }

  // ---- the network

  /** Drives a conversation on virtual time, as RegistrarWorker does on the platform. */
  #converse<Result>(
    from: Candidate | undefined,
    conversation: Conversation<Result>,
    onEnd: (result: Result) => void = () => {},
  ): void {
    const next = conversation.next();
    if (next.done === true) {
      const { value } = next;
      onEnd(value);
      const background = (value as Partial<Concluded<unknown>> | undefined)?.background;
      if (background !== undefined) this.#converse(from, background);
      return;
    }
    this.#hold(from, next.value, () => this.#converse(from, conversation, onEnd));
  }

  #hold(from: Candidate | undefined, round: Round, onOver: () => void): void {
    let isResumed = false;
    const resumeIfOver = (): void => {
      if (isResumed || !round.isOver) return;
      isResumed = true;
      onOver();
    };
    const send = (sent: Send): void => {
      this.#deliver(from, sent, (heard) => {
        for (const followUp of round.hear(sent.to, heard)) send(followUp);
        resumeIfOver();
      });
    };
    for (const first of round.open()) send(first);
    this.#schedule.after(ROUND_DEADLINE_MS, () => {
      round.expire();
      resumeIfOver();
    });
    resumeIfOver();
  }

  /** One request and its answer, each of which may be lost, late or doubled; `onHeard` may never be called. */
  #deliver(from: Candidate | undefined, { to, message }: Send, onHeard: (heard: Heard) => void): void {
    this.#messages += 1;
    const random = this.#random;
    const replica = this.#replicas.get(to);
    if (replica === undefined || from?.cut.has(to) === true) return;
    const { loss, duplicate, error, crashAfterStore } = this.#weather;
    if (random.next() < error) {
      this.#count("error");
      this.#schedule.after(integerBetween(random, 1, 20), () => onHeard({ type: "unreachable", reason: "an error" }));
      return;
    }
    const copies = random.next() < duplicate ? 2 : 1;
    if (copies > 1) this.#count("duplicated");
    for (let copy = 0; copy < copies; copy++) {
      if (random.next() < loss) {
        this.#count("lost");
        continue;
      }
      this.#schedule.after(this.#delayMs(), () => {
        if (!replica.isUp) return;
        const answer = replica.deliver(message);
        if (random.next() < crashAfterStore) {
          this.#crash(replica, "crash-after-store");
          return;
        }
        if (random.next() < loss) {
          this.#count("lost");
          return;
        }
        this.#schedule.after(this.#delayMs(), () => {
          if (from?.cut.has(to) !== true) onHeard({ type: "answer", answer: structuredClone(answer) });
        });
      });
    }
  }

  #delayMs(): number {
    if (this.#random.next() < this.#weather.late) {
      this.#count("late");
      return integerBetween(this.#random, 50, LATE_MS_MAX);
    }
    return integerBetween(this.#random, 1, 20);
  }

  #count(kind: FaultKind): void {
    this.#faults[kind] += 1;
  }
}

const agentIdOf = (id: number): AgentId => `agent-${id}` as AgentId;

function admission(id: number): AuditedOperation {
  return {
    operation: {
      type: "admit-agent",
      agentId: agentIdOf(id),
      info: { hostname: `host-${id}`, port: 5051, resources: [], attributes: [] },
      hostKey: id.toString(16).padStart(32, "0") as HostKey,
      principal: "agents" as Principal,
    },
    audit: { who: "simulation", when: millis(id), why: "registered" },
  };
}
