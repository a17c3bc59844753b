// The real cores (replicas, conversations, coordinators, Registrars) in one thread on virtual time, from one seed. The
// seed draws the cluster, its weather and its accidents; a checker watches every message. First everything goes wrong that
// may; then a majority is healed, and it must lead, append, and still hold all that was ever acknowledged.
import { InvariantError, present } from "#base/assert.ts";
import { integerBetween, pick, type Random, seededRandom } from "#base/random.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type { MembershipChange } from "#log/calls.ts";
import { ROUND_DEADLINE_MS } from "#log/conversation.ts";
import {
  type ClusterId,
  type Entry,
  type Membership,
  type Position,
  position,
  quorumOf,
  type ReplicaId,
  seatOf,
} from "#log/entry.ts";
import { read } from "#log/read.ts";
import { statusOf } from "#log/replica.ts";
import { registryAt } from "#registrar/audit.ts";
import { applyEntry, createReplay } from "#registrar/replay.ts";
import { shownRegistry } from "#registrar/shown.ts";
import type { SnapshotOptions } from "#registrar/snapshot.ts";
import type { BrokenRule } from "./broken-rules.ts";
import { Candidate, type Disk, type Surroundings } from "./candidate.ts";
import { Checker } from "./checker.ts";
import { FaultCounts, type FaultKind } from "./faults.ts";
import { type Caller, CALM, LATE_MS_MAX, Network } from "./network.ts";
import { ReplicaHost } from "./replica-host.ts";
import { Schedule } from "./schedule.ts";
import { agentIdOf, ballotOf, PlainWriter, RegistrarWriter, type Writer } from "./writer.ts";

/** One tick of virtual time, ms. */
export const TICK_MS = 10;
/** Ticks with faults, and with those that follow 2,000 in all. */
export const FAULTY_TICKS = 1_400;
/** Ticks in which late messages of the faulty time still arrive. */
const LATE_TICKS = LATE_MS_MAX / TICK_MS;
/** Ticks in which a healed majority must lead and append, the longest pause of a candidate and some rounds. */
const CONVERGE_TICKS_MAX = 6_000;
/** Ticks in which everything must be read: some pages, each of which may first ask who is gone. */
const READ_TICKS_MAX = 3_000;
/** Replicas that exist besides those of the bootstrap. */
const SPARE_REPLICAS = 3;
/** One seed in so many has Registrars instead of plain coordinators. */
const REGISTRAR_SHARE = 4;
const CLUSTER = "simulated" as ClusterId;

export interface SimulationOptions {
  readonly broken?: BrokenRule;
}

export interface SimulationResult {
  readonly seed: number;
  readonly replicas: number;
  readonly messages: number;
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly chosen: number;
  readonly acknowledged: number;
  readonly elections: number;
  readonly changes: number;
  readonly truncated: number;
  /** Snapshots of the registry that were completed. */
  readonly snapshots: number;
  readonly simulatedMs: number;
  readonly violations: readonly string[];
}

export class Simulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #schedule = new Schedule();
  readonly #checker: Checker;
  readonly #network: Network;
  readonly #faults = new FaultCounts();
  readonly #replicas = new Map<ReplicaId, ReplicaHost>();
  readonly #seeds: readonly ReplicaId[];
  /** The present instance of each candidate, and older ones that still believe in themselves. */
  #candidates: Candidate[] = [];
  readonly #zombies: Candidate[] = [];
  readonly #operator: Caller = { cutTo: new Set(), cutFrom: new Set(), pausedUntil: 0 };
  readonly #broken: BrokenRule | undefined;
  readonly #hasRegistrars: boolean;
  /** So often, and in so many chunks, that everything happens to them. */
  readonly #snapshots: SnapshotOptions;
  readonly #around: Surroundings;
  /** When each operation was acknowledged. */
  readonly #committed = new Map<number, number>();
  #isFaulty = true;
  /** Replicas that are not healed. */
  #deserted = new Set<ReplicaHost>();
  #deathShare = 0;
  #elections = 0;
  #operations = 0;
  #proposedAt = -Infinity;
  #instances = 0;

  constructor(seed: number, { broken }: SimulationOptions = {}) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#broken = broken;
    this.#hasRegistrars = seed % REGISTRAR_SHARE === 0;
    this.#checker = new Checker(() => this.#schedule.now, broken);
    const drawn = seededRandom(seed);
    this.#snapshots = {
      lettersMin: integerBetween(drawn, 0, 3_000),
      chunkLettersMax: integerBetween(drawn, 1, 1_000),
      historyLettersMin: pick(drawn, [0, 5_000, 20_000, Infinity]),
    };
    const size = pick(this.#random, [3, 3, 5]);
    const names = Array.from({ length: size + SPARE_REPLICAS }, (_, index) => `replica-${index + 1}` as ReplicaId);
    this.#seeds = names.slice(0, size);
    const pageEntriesMax = pick(this.#random, [5, 25, Infinity]);
    for (const id of names) this.#replicas.set(id, new ReplicaHost(id, this.#checker, broken, pageEntriesMax));
    const delayFrom = pick(this.#random, [1, 1, 5, 30]);
    this.#network = new Network({
      schedule: this.#schedule,
      random: this.#random,
      replicas: this.#replicas,
      faults: this.#faults,
      delayMs: { from: delayFrom, to: delayFrom * integerBetween(this.#random, 1, 5) },
      onCrash: (replica) => this.#crash(replica),
    });
    this.#around = {
      schedule: this.#schedule,
      network: this.#network,
      random: this.#random,
      checker: this.#checker,
      broken,
      seeds: this.#seeds,
      diesNow: () => this.#isFaulty && this.#random.next() < this.#deathShare,
      onElection: () => void (this.#elections += 1),
      onProposal: () => void (this.#proposedAt = this.#schedule.now),
      onCommitted: (id) => void this.#committed.set(id, this.#schedule.now),
      // One that is overtaken while it reads does not know yet: it must have what was acknowledged before it stood.
      onLeading: (candidate) => this.#checkRegistryOf(candidate, candidate.stoodAt),
    };
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
      replicas: this.#seeds.length,
      messages: this.#network.messages,
      faults: this.#faults.counts,
      chosen: this.#checker.chosen.size,
      acknowledged: this.#checker.acknowledged,
      elections: this.#elections,
      changes: this.#checker.memberships.size - 1,
      truncated: this.#checker.truncatedTo - 1,
      snapshots: [...this.#checker.chosen.values()].filter(isLastChunk).length,
      simulatedMs: this.#schedule.now,
      violations: this.#checker.violations,
    };
  }

  #runAll(): void {
    this.#bootstrap();
    const random = this.#random;
    const candidates = integerBetween(random, 2, 3);
    for (let number = 1; number <= candidates; number++) {
      const disk: Disk = { ballot: undefined, known: undefined, epoch: undefined };
      this.#candidates.push(this.#instance(`master-${number}` as CandidateId, disk));
    }
    // From a fair day to a storm: each seed has a weather of its own, and in some only one thing goes wrong.
    const severity = random.next();
    this.#network.weather = {
      loss: random.next() * 0.3 * severity,
      late: random.next() * 0.3 * severity,
      duplicate: random.next() * 0.1,
      error: random.next() * 0.05 * severity,
      crashBeforeStore: random.next() * 0.005 * severity,
      crashAfterStore: random.next() * 0.01 * severity,
    };
    this.#deathShare = random.next() * 0.02 * severity;
    this.#live();
    this.#disturb(integerBetween(random, 100, 800));
    this.#runTicks(FAULTY_TICKS);
    // What a broken rule breaks is agreement; whether its ruins still come to life proves nothing.
    if (this.#broken !== undefined) return;
    this.#heal();
    this.#runTicks(LATE_TICKS);
    this.#converge();
  }

  #runTicks(ticks: number): void {
    const until = this.#schedule.now + ticks * TICK_MS;
    while (this.#schedule.now < until && this.#checker.violations.length === 0) {
      this.#schedule.runUntil(this.#schedule.now + TICK_MS);
    }
  }

  #bootstrap(): void {
    this.#network.converse(this.#operator, bootstrap({ clusterId: CLUSTER }, this.#seeds), (answer) => {
      if (answer.type === "bootstrapped") this.#checker.bootstrapped(answer.membership);
      else this.#checker.violated(`the bootstrap said ${answer.type}: ${answer.reason}`);
    });
    this.#schedule.runUntil(this.#schedule.now + 1_000);
  }

  // ---- what goes on

  /** Candidates stand when nobody leads, leaders get work, somebody reads. */
  #live(): void {
    const random = this.#random;
    // From a quiet cluster to one where candidates fence each other all the time.
    const eagerness = random.next() * random.next() * 0.4;
    const busyness = integerBetween(random, 1, 4);
    const restlessness = random.next() * 0.05;
    const tend = (): void => {
      for (const candidate of [...this.#candidates, ...this.#zombies]) {
        if (!candidate.isAlive || candidate.pausedUntil > this.#schedule.now) continue;
        if (candidate.isLeading) this.#work(candidate, busyness, restlessness);
        else if (!this.#zombies.includes(candidate) && this.#standsNow(candidate, eagerness)) candidate.stand();
      }
      this.#schedule.after(integerBetween(random, 20, 120), tend);
    };
    this.#schedule.after(1, tend);
    const readSome = (): void => {
      const from = position(integerBetween(random, 1, Math.max(1, this.#checker.chosenThrough)));
      const caller = pick(random, this.#candidates);
      this.#network.converse(caller, read({ clusterId: CLUSTER, from, entriesMax: 50 }, this.#seeds), (answer) => {
        if (answer.type !== "entries") return;
        this.#checker.toldFrom("a read", Math.max(from, answer.begin), answer.entries);
      });
      if (this.#hasRegistrars) this.#audit(caller, random.next() < 0.3 ? undefined : from);
      this.#schedule.after(integerBetween(random, 300, 1_500), readSome);
    };
    this.#schedule.after(300, readSome);
  }

  /** During the faults at will, as hostile candidates would; afterwards with the pauses that real ones keep. */
  #standsNow(candidate: Candidate, eagerness: number): boolean {
    const isLed = this.#candidates.some(({ isLeading }) => isLeading);
    if (!this.#isFaulty) return !isLed && this.#schedule.now >= candidate.retryAt;
    return this.#random.next() < eagerness || (!isLed && this.#random.next() < 0.2);
  }

  #work(candidate: Candidate, busyness: number, restlessness: number): void {
    const random = this.#random;
    for (let left = integerBetween(random, 0, busyness); left > 0; left--) this.#submit(candidate);
    if (random.next() < 0.2) candidate.confirm();
    // A vote that is spoilt and not found yet can make a change fatal that looks well prepared: that is one fault too many.
    const isSound = ![...this.#replicas.values()].some(({ isDoomed }) => isDoomed);
    if (this.#isFaulty && isSound && random.next() < restlessness) {
      candidate.change(++this.#operations, this.#drawChange());
    }
  }

  #submit(candidate: Candidate): void {
    const random = this.#random;
    const id = ++this.#operations;
    const entries: Entry[] = [];
    for (let left = integerBetween(random, 1, 3); left > 0; left--) {
      entries.push({ type: "append", data: `${id}.${left} of ${candidate.id}` });
    }
    const { phase } = candidate.writer.coordinator;
    if (phase.state === "elected" && phase.write === undefined && random.next() < 0.02) {
      const most = Math.max(1, phase.next - 1);
      const to = position(integerBetween(random, Math.min(this.#checker.truncatedTo, most), most));
      entries.push({ type: "truncate", to });
    }
    candidate.submit(id, entries);
  }

  #drawChange(): MembershipChange {
    const random = this.#random;
    const names = [...this.#replicas.keys()];
    const replica = pick(random, names);
    switch (integerBetween(random, 0, 2)) {
      case 0:
        return { type: "add", replica };
      case 1:
        return { type: "remove", replica };
      default:
        return { type: "replace", replica, by: pick(random, names) };
    }
  }

  // ---- what goes wrong

  #disturb(everyMs: number): void {
    if (!this.#isFaulty) return;
    const random = this.#random;
    const replica = pick(random, [...this.#replicas.values()]);
    const candidate = pick(random, this.#candidates);
    switch (integerBetween(random, 0, 13)) {
      case 0:
      case 1:
        this.#crash(replica, "crash");
        break;
      case 2:
        this.#count("partition");
        this.#cut([candidate.cutTo, candidate.cutFrom]);
        break;
      case 3:
        this.#count("one-way-partition");
        this.#cut([pick(random, [candidate.cutTo, candidate.cutFrom])]);
        break;
      case 4:
      case 5:
      case 6:
        candidate.cutTo.clear();
        candidate.cutFrom.clear();
        break;
      case 7:
        this.#count("pause");
        pick(random, [replica, candidate]).pausedUntil = this.#schedule.now + integerBetween(random, 100, 4_000);
        break;
      case 8:
        this.#renew(candidate, { isOldAlive: false });
        break;
      case 9:
        this.#renew(candidate, { isOldAlive: true });
        break;
      case 10:
        this.#damage(replica);
        break;
      case 11:
        if (this.#maySpare(replica)) {
          this.#count("lost-storage");
          replica.loseStorage(this.#checker.chosenThrough + 1);
        }
        break;
      case 12:
        replica.takeSnapshot();
        break;
      default:
        if (replica.hasSnapshot && this.#maySpare(replica)) {
          this.#count("restore");
          replica.restore(this.#checker.chosenThrough + 1);
        }
    }
    for (const dead of this.#candidates) if (!dead.isAlive) this.#renew(dead, { isOldAlive: false });
    for (const host of this.#replicas.values()) if (host.isBehindDisk && random.next() < 0.3) host.sync();
    this.#schedule.after(integerBetween(random, 1, everyMs), () => this.#disturb(everyMs));
  }

  #cut(directions: readonly Set<ReplicaId>[]): void {
    for (const id of this.#replicas.keys()) {
      if (this.#random.next() < 0.5) for (const direction of directions) direction.add(id);
    }
  }

  /** The candidate's object starts anew. The old instance's calls go on; if it is alive, it does not know either. */
  #renew(candidate: Candidate, { isOldAlive }: { readonly isOldAlive: boolean }): void {
    this.#count(isOldAlive ? "second-instance" : "new-instance");
    const fresh = this.#instance(candidate.id, candidate.disk);
    if (this.#broken === "nonce") goOnUnderOldBallot(candidate.writer, fresh.writer);
    this.#candidates = this.#candidates.map((one) => (one === candidate ? fresh : one));
    candidate.isSuperseded = true;
    if (!isOldAlive) candidate.isAlive = false;
    else this.#zombies.push(candidate);
    const [oldest] = this.#zombies;
    if (oldest !== undefined && this.#zombies.length > 2) {
      oldest.isAlive = false;
      this.#zombies.shift();
    }
  }

  #damage(replica: ReplicaHost): void {
    const random = this.#random;
    const { begin, end } = replica.state;
    if (random.next() < 0.1) {
      if (!this.#maySpare(replica)) return;
      this.#count("damaged-metadata");
      replica.damage(0);
      this.#crash(replica); // it is read at the next start
      return;
    }
    // An accepted record that is not learned is a vote, and it is lost with it. A learned one must be had elsewhere.
    const at = integerBetween(random, begin, Math.max(begin, end));
    if (at >= replica.state.missingFrom ? !this.#maySpare(replica) : !this.#isHeldElsewhere(replica, at)) return;
    this.#count("damage");
    replica.damage(at);
  }

  /** Whether the log survives the loss of this storage: a quorum of voters must be left in every membership that may be in force. */
  #maySpare(replica: ReplicaHost): boolean {
    if ([...this.#candidates, ...this.#zombies].some(({ isAlive, isChanging }) => isAlive && isChanging)) return false;
    // A change may still be in flight from an instance that is dead: it may be chosen after the loss.
    if (this.#schedule.now < this.#proposedAt + ROUND_DEADLINE_MS + LATE_MS_MAX) return false;
    return this.#couldDecideWithout(new Set([replica]));
  }

  /** Whether a quorum of the others has learned the entry and holds it in good order. */
  #isHeldElsewhere(replica: ReplicaHost, at: number): boolean {
    const membership = this.#newestMembership();
    const holders = membership.seats.filter((seat) => {
      const host = this.#replicas.get(seat.replica);
      if (host === undefined || host === replica || host.state.incarnation !== seat.incarnation) return false;
      return host.state.missingFrom > at && host.isSoundAt(at);
    });
    return holders.length >= quorumOf(membership);
  }

  #newestMembership(): Membership {
    return present(this.#checker.memberships.get(this.#checker.newestMembership), "a membership");
  }

  #couldDecideWithout(absent: ReadonlySet<ReplicaHost>): boolean {
    const newest = this.#checker.newestMembership;
    const memberships: Membership[] = [this.#newestMembership()];
    for (const [at, proposed] of this.#checker.proposedMemberships) if (at > newest) memberships.push(...proposed);
    return memberships.every((membership) => {
      const able = membership.seats.filter(({ replica, incarnation }) => {
        const host = this.#replicas.get(replica);
        if (host === undefined || absent.has(host) || host.isDoomed) return false;
        // Damage of learned records heals by itself; what counts is that the storage is the one that has the seat.
        const { state } = host;
        return (
          state.incarnation === incarnation &&
          (state.electorate?.position ?? 0) >= newest &&
          statusOf(state) !== "empty"
        );
      });
      return able.length >= quorumOf(membership);
    });
  }

  #crash(replica: ReplicaHost, kind?: FaultKind): void {
    if (!replica.isUp) return;
    if (kind !== undefined) this.#count(kind);
    replica.isUp = false;
    this.#schedule.after(integerBetween(this.#random, 50, 2_000), () => {
      if (!replica.isUp && !this.#deserted.has(replica)) replica.restart();
    });
  }

  #instance(id: CandidateId, disk: Disk): Candidate {
    const options = {
      candidate: id,
      nonce: `instance-${++this.#instances}`,
      clusterId: CLUSTER,
      storedBallot: disk.ballot,
      known: disk.known,
    };
    const writer = this.#hasRegistrars
      ? new RegistrarWriter(options, { epoch: disk.epoch, snapshots: this.#snapshots }, this.#random)
      : new PlainWriter(options);
    return new Candidate(id, disk, writer, this.#around);
  }

  #count(kind: FaultKind): void {
    this.#faults.count(kind);
  }

  // ---- healing

  /** A majority comes back; whoever can be spared stays away for good. */
  #heal(): void {
    this.#isFaulty = false;
    this.#network.weather = CALM;
    for (const candidate of this.#candidates) {
      candidate.cutTo.clear();
      candidate.cutFrom.clear();
      candidate.pausedUntil = 0;
    }
    for (const zombie of this.#zombies) zombie.isAlive = false;
    this.#candidates = this.#candidates.map((candidate) =>
      candidate.isAlive ? candidate : this.#instance(candidate.id, candidate.disk),
    );
    for (const replica of this.#replicas.values()) {
      replica.pausedUntil = 0;
      replica.sync();
      const without = new Set([...this.#deserted, replica]);
      const isChanging = this.#candidates.some((candidate) => candidate.isChanging);
      if (!replica.isUp && !isChanging && this.#random.next() < 0.7 && this.#couldDecideWithout(without)) {
        this.#deserted = without;
      }
    }
    for (const replica of this.#replicas.values()) {
      if (!replica.isUp && !this.#deserted.has(replica)) replica.restart();
    }
  }

  /** Liveness: a leader must append, every member that is there must vote, and the log must hold all that was acknowledged. */
  #converge(): void {
    const before = this.#committed.size;
    for (let ticks = 0; !this.#isConverged(before); ticks++) {
      if (this.#checker.violations.length > 0) return;
      if (ticks === CONVERGE_TICKS_MAX) {
        this.#checker.violated(`liveness: after ${ticks} ticks ${this.#whatIsMissing(before)}`);
        return;
      }
      this.#runTicks(1);
    }
    this.#readAll();
  }

  #isConverged(before: number): boolean {
    return this.#committed.size > before && this.#members().every(({ isVoting }) => isVoting);
  }

  /** Members of the newest membership that are there. */
  #members(): readonly ReplicaHost[] {
    const membership = this.#newestMembership();
    return [...this.#replicas.values()].filter(
      (replica) => replica.isUp && seatOf(membership, replica.id) !== undefined,
    );
  }

  #whatIsMissing(before: number): string {
    if (this.#committed.size === before) return "a healed majority has appended nothing";
    const lame = this.#members().filter(({ isVoting }) => !isVoting);
    return lame.map(({ id, state }) => `${id} is ${statusOf(state)} to ${state.missingFrom}`).join(", ");
  }

  /** What the last reader of the log sees: every chosen entry that is not truncated, in order. */
  #readAll(): void {
    const through = this.#checker.chosenThrough;
    const reading = { from: 1, rounds: 0 };
    // Those of the bootstrap may all be gone, as may those that they knew.
    const known = { membership: this.#newestMembership(), position: position(this.#checker.newestMembership) };
    const readOn = (): void => {
      const call = { clusterId: CLUSTER, from: position(reading.from), to: position(through), entriesMax: 500, known };
      this.#network.converse(this.#operator, read(call, this.#seeds), (answer) => {
        reading.rounds += 1;
        if (answer.type === "entries") {
          this.#checker.toldFrom("the last read", Math.max(reading.from, answer.begin), answer.entries);
          if (answer.begin > this.#checker.truncatedTo) this.#checker.violated(`the log begins at ${answer.begin}`);
          reading.from = Math.max(reading.from, answer.decidedTo);
        }
        // What is not learned yet will be, when the members hear of it, and what this read found damaged will be repaired.
        if (reading.from <= through) this.#schedule.after(TICK_MS, readOn);
      });
    };
    readOn();
    for (let ticks = 0; reading.from <= through && ticks < READ_TICKS_MAX; ticks++) this.#runTicks(1);
    if (reading.from <= through) {
      const { from, rounds } = reading;
      this.#checker.violated(`invariant 3: after ${rounds} reads ${from} of ${through} cannot be read any more`);
    }
    this.#checkRegistry();
    if (!this.#hasRegistrars) return;
    const auditor = { isTold: false };
    const ask = (): void => {
      if (auditor.isTold) return;
      this.#audit(this.#operator, undefined, () => void (auditor.isTold = true));
      this.#schedule.after(TICK_MS * 50, ask);
    };
    ask();
    for (let ticks = 0; !auditor.isTold && ticks < READ_TICKS_MAX; ticks++) this.#runTicks(1);
    if (!auditor.isTold) this.#checker.violated("liveness: an auditor of a healed majority is told nothing");
  }

  /** The registry that anybody is told must be what a replay of everything that was chosen gives. */
  #audit(caller: Caller, at: Position | undefined, onTold: () => void = () => undefined): void {
    // Those of the bootstrap may all be gone, as may those that they knew.
    const known = { membership: this.#newestMembership(), position: position(this.#checker.newestMembership) };
    this.#network.converse(caller, registryAt({ clusterId: CLUSTER, at, known }, this.#seeds), (answer) => {
      if (answer.type === "unanswerable" && answer.reason.includes("cannot apply")) {
        this.#checker.violated(`registry: an auditor is told ${answer.reason}`);
      }
      if (answer.type !== "registry") return;
      onTold();
      const replay = createReplay();
      while (replay.next <= answer.at) {
        const entry = this.#checker.chosen.get(replay.next);
        const applied = entry === undefined ? undefined : applyEntry(replay, { position: replay.next, entry });
        if (applied?.type === "applied") continue;
        this.#checker.violated(
          `registry: an auditor is told of ${answer.at}, and ${replay.next} is not there to apply`,
        );
        return;
      }
      if (JSON.stringify(answer.registry) !== JSON.stringify(shownRegistry(replay.registry))) {
        this.#checker.violated(`registry: at ${answer.at} an auditor is told another one than was chosen`);
      }
    });
  }

  /** A Registrar that leads holds everything that any Registrar acknowledged. */
  #checkRegistry(): void {
    const leaders = this.#candidates.filter(({ isLeading }) => isLeading);
    const newest = Math.max(...leaders.map(({ writer }) => ballotOf(writer)?.counter ?? 0));
    for (const leader of leaders) {
      // One that was overtaken may not know yet; it cannot be confirmed any more.
      if (ballotOf(leader.writer)?.counter === newest) this.#checkRegistryOf(leader);
    }
  }

  #checkRegistryOf({ writer, id }: Candidate, before = Infinity): void {
    if (writer.registrar === undefined) return;
    const { admitted } = writer.registrar.registry;
    for (const [operation, at] of this.#committed) {
      if (at >= before || admitted.has(agentIdOf(operation))) continue;
      this.#checker.violated(`registry: ${id} leads, and acknowledged ${agentIdOf(operation)} is not in its registry`);
      return;
    }
  }
}

const isLastChunk = (entry: Entry): boolean =>
  entry.type === "append" && entry.data.includes('"type":"snapshot"') && entry.data.includes('"last":true');

/** What the nonce forbids: the new instance takes the old one's ballot and place, and goes on. */
function goOnUnderOldBallot(old: Writer, fresh: Writer): void {
  const { phase } = old.coordinator;
  if (phase.state !== "elected") return;
  const ballot: Ballot = phase.ballot;
  fresh.coordinator.phase = { ...phase, ballot, write: undefined, confirming: undefined, change: undefined };
}
