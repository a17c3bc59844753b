// The core of the log alone, without any platform: an election behind a long truncated log, and commits over distances.
import { present } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import { append } from "#log/append.ts";
import type { Ballot, CandidateId } from "#log/ballot.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type { Conversation } from "#log/conversation.ts";
import { coordinate, createCoordinator, type CoordinatorEffect, type CoordinatorInput } from "#log/coordinator.ts";
import { elect } from "#log/elect.ts";
import { type ClusterId, type Entry, type Incarnation, position, type ReplicaId } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import type { ReplicaMessage } from "#log/messages.ts";
import { openReplica, type ReplicaState, step } from "#log/replica.ts";
import type { Heard } from "#log/round.ts";
import { settle } from "#log/settle.ts";
import { Schedule } from "../../test/simulation/schedule.ts";
import { median } from "./load.ts";

const CLUSTER = "bench" as ClusterId;
const IDS = ["replica-1", "replica-2", "replica-3"].map((name) => name as ReplicaId);
const TRUNCATED = 1_000_000;
const ENTRIES_A_WRITE = 1_000;
const ELECTIONS = 21;
const IN_FLIGHT = 512;
const SIMULATED_MS = 10_000;
/** What a message takes even without any distance, ms. */
const FLOOR_MS = 0.5;

class Replica {
  readonly storage = new MemoryLogStorage();
  state: ReplicaState;

  constructor(id: ReplicaId) {
    this.state = openReplica(this.storage, () => `${id}#1` as Incarnation);
  }

  deliver(message: ReplicaMessage): Heard {
    const newIncarnation = (): Incarnation => "another" as Incarnation;
    const { state, effects, answer } = step(this.state, message, { reader: this.storage, newIncarnation });
    this.storage.persist(effects);
    this.state = state;
    return { type: "answer", answer };
  }
}

const newReplicas = (): ReadonlyMap<ReplicaId, Replica> => new Map(IDS.map((id) => [id, new Replica(id)]));

/** Holds a conversation to its end with replicas that answer at once. */
function converse<Result>(replicas: ReadonlyMap<ReplicaId, Replica>, conversation: Conversation<Result>): Result {
  for (;;) {
    const next = conversation.next();
    if (next.done === true) return next.value;
    const round = next.value;
    const open = [...round.open()];
    for (let send = open.shift(); send !== undefined; send = open.shift()) {
      open.push(...round.hear(send.to, present(replicas.get(send.to), "a replica").deliver(send.message)));
    }
    round.expire();
  }
}

const ballot = (counter: number): Ballot => ({ counter, candidate: "master-1" as CandidateId, nonce: "bench" });
const value: Entry = { type: "append", data: "v".repeat(256) };

/** The median of some elections by a candidate that has applied nothing, ms. */
export function electMs(): number {
  const replicas = newReplicas();
  converse(replicas, bootstrap({ clusterId: CLUSTER }, IDS));
  const first = converse(replicas, elect({ clusterId: CLUSTER, ballot: ballot(1), from: position(1) }, IDS));
  if (first.type !== "elected") throw new Error(first.type);
  const { electorate } = first;
  const log = { next: first.next as number };
  const write = (entries: readonly Entry[]): void => {
    const call = { clusterId: CLUSTER, ballot: ballot(1), electorate, position: position(log.next), entries };
    const answer = converse(replicas, append(call));
    if (answer.type !== "appended") throw new Error(answer.type);
    log.next += entries.length;
  };
  for (let left = TRUNCATED; left > 0; left -= ENTRIES_A_WRITE) {
    const values = Array.from({ length: ENTRIES_A_WRITE - 1 }, () => value);
    write([...values, { type: "truncate", to: position(log.next) }]);
  }
  write([{ type: "truncate", to: position(log.next) }]);
  const through = position(log.next - 1);
  converse(replicas, settle({ clusterId: CLUSTER, ballot: ballot(1), electorate, through }));

  const times: number[] = [];
  for (let counter = 2; counter < 2 + ELECTIONS; counter++) {
    const startedAt = performance.now();
    const answer = converse(replicas, elect({ clusterId: CLUSTER, ballot: ballot(counter), from: position(1) }, IDS));
    times.push(performance.now() - startedAt);
    if (answer.type !== "elected" || answer.begin <= TRUNCATED) throw new Error(JSON.stringify(answer));
  }
  return median(times);
}

/** A leader in the place of one replica, the two others at a round trip of `rttMs`. */
export function commitOverDistance(rttMs: number): { readonly roundTrips: number; readonly perSecond: number } {
  const single = runOverDistance(rttMs, 1);
  const many = runOverDistance(rttMs, IN_FLIGHT);
  return { roundTrips: median(single.latenciesMs) / rttMs, perSecond: (many.latenciesMs.length * 1000) / SIMULATED_MS };
}

function runOverDistance(rttMs: number, inFlight: number): { readonly latenciesMs: readonly number[] } {
  const schedule = new Schedule();
  const replicas = newReplicas();
  converse(replicas, bootstrap({ clusterId: CLUSTER }, IDS));
  const coordinator = createCoordinator({ candidate: "master-1" as CandidateId, nonce: "bench", clusterId: CLUSTER });
  const latenciesMs: number[] = [];
  const sentAt = new Map<number, number>();
  const startedAt = schedule.now;
  let count = 0;

  const hold = <Result>(conversation: Conversation<Result>, onEnd: (result: Result) => void): void => {
    const next = conversation.next();
    if (next.done === true) {
      onEnd(next.value);
      return;
    }
    const round = next.value;
    let isResumed = false;
    for (const { to, message } of round.open()) {
      const oneWayMs = FLOOR_MS + (to === IDS[0] ? 0 : rttMs / 2);
      schedule.after(oneWayMs, () => {
        const heard = present(replicas.get(to), "a replica").deliver(message);
        schedule.after(oneWayMs, () => {
          round.hear(to, heard);
          if (isResumed || !round.isOver) return;
          isResumed = true;
          hold(conversation, onEnd);
        });
      });
    }
  };
  const submit = (): void => {
    count += 1;
    sentAt.set(count, schedule.now);
    input({ type: "append", id: count, entries: [value] });
  };
  const input = (given: CoordinatorInput): void => {
    for (const effect of coordinate(coordinator, given, millis(schedule.now))) perform(effect);
  };
  const perform = (effect: CoordinatorEffect): void => {
    if (effect.type === "elect") {
      const { call } = effect;
      hold(elect(call, IDS), (answer) => input({ type: "elect-answered", ballot: call.ballot, answer }));
    } else if (effect.type === "append") {
      const { call } = effect;
      hold(append(call), (answer) => input({ type: "append-answered", ballot: call.ballot, answer }));
    } else if (effect.type === "settle") {
      const { call } = effect;
      hold(settle(call), (answer) => input({ type: "settle-answered", ballot: call.ballot, answer }));
    } else if (effect.type === "elected") {
      for (let i = 0; i < inFlight; i++) submit();
    } else if (effect.type === "appended") {
      latenciesMs.push(schedule.now - present(sentAt.get(effect.id), "an append"));
      sentAt.delete(effect.id);
      submit();
    } else if (effect.type === "gather") schedule.after(0, () => input({ type: "gathered" }));
    else if (effect.type === "lost") throw new Error(effect.reason);
  };
  input({ type: "elect", from: position(1) });
  schedule.runUntil(startedAt + SIMULATED_MS);
  return { latenciesMs };
}
