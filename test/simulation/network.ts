// The network of a simulation: each request and each answer may be lost, late or doubled, a link may be cut in one
// direction, and either end may be paused. A conversation is driven over it as RegistrarWorker does on the platform.
import { integerBetween, type Random } from "#base/random.ts";
import { type Conversation, RESEND_MS, ROUND_DEADLINE_MS } from "#log/conversation.ts";
import type { ReplicaId } from "#log/entry.ts";
import type { Heard, Round, Send } from "#log/round.ts";
import type { FaultCounts } from "./faults.ts";
import type { ReplicaHost } from "./replica-host.ts";
import type { Schedule } from "./schedule.ts";

/** How likely each accident is, for one message. */
export interface Weather {
  readonly loss: number;
  readonly late: number;
  readonly duplicate: number;
  readonly error: number;
  readonly crashBeforeStore: number;
  readonly crashAfterStore: number;
}
export const CALM: Weather = { loss: 0, late: 0, duplicate: 0, error: 0, crashBeforeStore: 0, crashAfterStore: 0 };

/** Longest delay of a late message, ms: well beyond the deadline of a round. */
export const LATE_MS_MAX = 5_000;
/** Share of lost messages whose sender is told: a stub that throws. The others are silence. */
const TOLD_SHARE = 0.3;

/** One end of the network that is no replica. */
export interface Caller {
  /** Replicas that its requests do not reach, and whose answers do not reach it. */
  readonly cutTo: Set<ReplicaId>;
  readonly cutFrom: Set<ReplicaId>;
  /** What reaches it before this time is taken then. */
  pausedUntil: number;
}

export interface NetworkOptions {
  readonly schedule: Schedule;
  readonly random: Random;
  readonly replicas: ReadonlyMap<ReplicaId, ReplicaHost>;
  readonly faults: FaultCounts;
  /** Time that a message takes in calm weather, ms. */
  readonly delayMs: { readonly from: number; readonly to: number };
  readonly onCrash: (replica: ReplicaHost) => void;
}

export class Network {
  readonly #options: NetworkOptions;
  weather: Weather = CALM;
  messages = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Drives a conversation to its end; it outlives its caller, who may not be there to hear `onEnd`. */
  converse<Result>(caller: Caller, conversation: Conversation<Result>, onEnd: (result: Result) => void): void {
    const next = conversation.next();
    if (next.done === true) onEnd(next.value);
    else this.#hold(caller, next.value, () => this.converse(caller, conversation, onEnd));
  }

  #hold(caller: Caller, round: Round, onOver: () => void): void {
    const { schedule } = this.#options;
    let isResumed = false;
    const resumeIfOver = (): void => {
      if (isResumed || !round.isOver) return;
      isResumed = true;
      onOver();
    };
    const send = (sent: Send): void => {
      this.#deliver(caller, sent, (heard) => {
        for (const followUp of round.hear(sent.to, heard)) send(followUp);
        resumeIfOver();
      });
    };
    let deadline = schedule.now + ROUND_DEADLINE_MS;
    const lookAgain = (): void => {
      if (isResumed) return;
      if (schedule.now < deadline) for (const again of round.resend()) send(again);
      else {
        round.expire();
        deadline = schedule.now + ROUND_DEADLINE_MS;
      }
      if (!round.isOver) schedule.after(Math.min(RESEND_MS, deadline - schedule.now), lookAgain);
      resumeIfOver();
    };
    for (const first of round.open()) send(first);
    schedule.after(RESEND_MS, lookAgain);
    resumeIfOver();
  }

  /** `onHeard` may never be called. */
  #deliver(caller: Caller, { to, message }: Send, onHeard: (heard: Heard) => void): void {
    const { schedule, random, replicas, faults, onCrash } = this.#options;
    const { loss, duplicate, error, crashBeforeStore, crashAfterStore } = this.weather;
    this.messages += 1;
    const replica = replicas.get(to);
    if (replica === undefined || caller.cutTo.has(to)) return;
    if (random.next() < error) {
      faults.count("error");
      schedule.after(1, () => onHeard({ type: "unreachable", reason: "an error" }));
      return;
    }
    let copies = 1;
    if (random.next() < duplicate) {
      faults.count("duplicated");
      copies = 2;
    }
    for (let copy = 0; copy < copies; copy++) {
      if (random.next() < loss) {
        faults.count("lost");
        continue;
      }
      const arrive = (): void => {
        if (!replica.isUp) return;
        if (replica.pausedUntil > schedule.now) {
          schedule.after(replica.pausedUntil - schedule.now, arrive);
          return;
        }
        const crashes = random.next() < crashBeforeStore;
        const answer = replica.deliver(message, { crashBeforeStore: crashes });
        if (answer === undefined) {
          faults.count("crash-before-store");
          onCrash(replica);
          return;
        }
        if (random.next() < crashAfterStore) {
          faults.count("crash-after-store");
          onCrash(replica);
          // The answer may have left just before.
          if (random.next() < 0.5) return;
        }
        if (random.next() < loss) {
          faults.count("lost");
          if (random.next() < TOLD_SHARE) {
            schedule.after(1, () => onHeard({ type: "unreachable", reason: "a lost answer" }));
          }
          return;
        }
        const hear = (): void => {
          if (caller.cutFrom.has(to)) return;
          if (caller.pausedUntil > schedule.now) schedule.after(caller.pausedUntil - schedule.now, hear);
          else onHeard({ type: "answer", answer });
        };
        schedule.after(this.#delayMs(), hear);
      };
      schedule.after(this.#delayMs(), arrive);
    }
  }

  #delayMs(): number {
    const { random, faults, delayMs } = this.#options;
    if (random.next() < this.weather.late) {
      faults.count("late");
      return integerBetween(random, 50, LATE_MS_MAX);
    }
    return integerBetween(random, delayMs.from, delayMs.to);
  }
}
