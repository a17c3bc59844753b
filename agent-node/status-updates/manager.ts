// Sends what is outstanding until it is acknowledged: the head of every task's stream, and how each operation ended. Holds only
// what may be lost: the durable part is in the checkpoint, which the caller has written before it tells a manager of anything.
import type { Millis } from "#base/time.ts";
import type { OperationUpdate, Update } from "#protocol/agent.ts";
import type { FrameworkId, OperationUuid } from "#protocol/ids.ts";
import { type AgentState, latestState, type TaskKey } from "../checkpoint/state.ts";
import { inFrames } from "../frames.ts";
import { afterSending, type Delivery, isDue } from "./stream.ts";

/** One update that waits for its acknowledgement. */
interface Outstanding<K, U> {
  readonly key: K;
  readonly uuid: string;
  readonly update: () => U;
}

export class UpdateManager<K, U> {
  readonly #outstanding: (state: AgentState) => Iterable<Outstanding<K, U>>;
  #deliveries: ReadonlyMap<K, Delivery> = new Map();

  constructor(outstanding: (state: AgentState) => Iterable<Outstanding<K, U>>) {
    this.#outstanding = outstanding;
  }

  /** The updates to send now, in frames; each counts as sent. */
  takeDue(state: AgentState, now: Millis): U[][] {
    const due: U[] = [];
    const deliveries = new Map<K, Delivery>();
    for (const { key, uuid, update } of this.#outstanding(state)) {
      const known = this.#deliveries.get(key);
      const sends = isDue(uuid, known, now);
      const delivery = sends ? afterSending(uuid, known, now) : known;
      if (delivery !== undefined) deliveries.set(key, delivery);
      if (sends) due.push(update());
    }
    this.#deliveries = deliveries;
    return inFrames(due);
  }

  /** Whether every update was sent since the last registration: what is left to do is the frameworks'. */
  allSent(state: AgentState): boolean {
    for (const { key, uuid } of this.#outstanding(state)) if (this.#deliveries.get(key)?.uuid !== uuid) return false;
    return true;
  }

  /** A new registration: everything is due at once, and waits 10 s again (reference §7, "resume"). */
  resendAll(): void {
    this.#deliveries = new Map();
  }

  /** When the next one is due, or undefined when none is outstanding. */
  nextDue(state: AgentState): Millis | undefined {
    let next: Millis | undefined;
    for (const { key, uuid } of this.#outstanding(state)) {
      const delivery = this.#deliveries.get(key);
      const dueAt = delivery !== undefined && delivery.uuid === uuid ? delivery.dueAt : (0 as Millis);
      if (next === undefined || dueAt < next) next = dueAt;
    }
    return next;
  }
}

export class StatusUpdateManager extends UpdateManager<TaskKey, Update> {
  constructor() {
    super(headsOfStreams);
  }
}

export class OperationUpdateManager extends UpdateManager<OperationUuid, OperationUpdate> {
  constructor() {
    super(endsOfOperations);
  }
}

function* headsOfStreams(state: AgentState): Generator<Outstanding<TaskKey, Update>> {
  for (const [key, { pending }] of state.streams) {
    const head = pending[0];
    if (head === undefined) continue;
    const frameworkId = key.slice(0, key.indexOf("/")) as FrameworkId;
    const update = (): Update => ({ frameworkId, status: head, latest: latestState(state, key) });
    yield { key, uuid: head.uuid ?? "", update };
  }
}

function* endsOfOperations(state: AgentState): Generator<Outstanding<OperationUuid, OperationUpdate>> {
  for (const [key, { operationUuid, frameworkId, operationId, status }] of state.operations) {
    const update = (): OperationUpdate => ({ operationUuid, frameworkId, operationId, status });
    yield { key, uuid: status.uuid?.value ?? "", update };
  }
}
