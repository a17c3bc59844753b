// A replica with its disk in the simulation: the shell of src/durable-objects/replica-do.ts with crashes in between.
import { NO_BALLOT } from "#log/ballot.ts";
import type { Position, ReplicaId } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import { envelope, type ReplicaAnswer, type ReplicaMessage } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { loadReplica, type ReplicaState, step } from "#log/replica.ts";
import type { LogReader } from "#log/storage.ts";
import type { Checker } from "./checker.ts";

/** Rules that can be switched off, to see that the simulation notices. They are hazards of Mesos' log. */
export const BROKEN_RULES = ["H1", "H2", "H3"] as const;
export type BrokenRule = (typeof BROKEN_RULES)[number];

export class ReplicaHost {
  readonly id: ReplicaId;
  storage = new MemoryLogStorage();
  isUp = true;
  #state: ReplicaState;
  readonly #checker: Checker;
  readonly #broken: BrokenRule | undefined;

  constructor(id: ReplicaId, checker: Checker, broken: BrokenRule | undefined) {
    this.id = id;
    this.#checker = checker;
    this.#broken = broken;
    this.#state = loadReplica(this.storage);
  }

  get state(): ReplicaState {
    return this.#state;
  }

  restart(): void {
    this.isUp = true;
    this.#state = loadReplica(this.storage);
    this.#checker.restarted(this.id, this.#state);
  }

  /** The disk is replaced by an empty one. */
  loseStorage(): void {
    const { clusterId, replicaId, membership } = this.#state;
    this.storage = new MemoryLogStorage();
    this.#state = loadReplica(this.storage);
    this.#checker.lostStorage(this.id);
    if (this.#broken !== "H2" || clusterId === undefined || replicaId === undefined || membership === undefined) return;
    // Votes again at once, although it has forgotten what it promised and accepted.
    this.deliver({ type: "bootstrap-start", clusterId, replicaId, membership });
    this.deliver({ type: "bootstrap-vote", clusterId });
  }

  /** One stored record is spoilt. */
  damage(at: Position): void {
    this.storage.damage(at);
  }

  deliver(message: ReplicaMessage): ReplicaAnswer {
    const parsed = parseEnvelope(structuredClone(envelope(message)));
    if (parsed.type === "invalid") throw new Error(`the simulation sent an invalid message: ${parsed.reason}`);
    const before = this.#state;
    const isWrite = parsed.message.type === "write";
    const taken = step(
      before,
      parsed.message,
      this.#broken === "H1" && isWrite ? forgetful(this.storage) : this.storage,
    );
    this.storage.persist(taken.effects);
    this.#state = taken.state;
    let { answer } = taken;
    if (this.#broken === "H1" && answer.type === "accepted") {
      // As Mesos does: the accepted write leaves the promise where it was.
      this.#state = { ...taken.state, promised: before.promised };
      const { end: _, ...metadata } = this.#state;
      this.storage.persist([{ type: "persist-metadata", metadata }]);
      answer = { ...answer, standing: { ...answer.standing, promised: before.promised } };
    }
    this.#checker.answered({ replica: this.id, before, message: parsed.message, answer, storage: this.storage });
    return answer;
  }
}

/** Hides the ballots of accepted records: Mesos compares a write with the promise alone. */
const forgetful = (storage: MemoryLogStorage): LogReader => ({
  end: () => storage.end(),
  page(from, bounds) {
    const read = storage.page(from, bounds);
    if (read.type === "corrupt") return read;
    return { ...read, records: read.records.map((record) => ({ ...record, performed: NO_BALLOT })) };
  },
});
