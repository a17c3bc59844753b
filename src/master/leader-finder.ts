// The leader, for a Worker or a gateway: remembers who led last, calls it, follows what candidates answer, and has another one
// stand when it cannot be reached (search.ts). It holds nothing that could not be found again.
import { millis, type Millis } from "#base/time.ts";
import type { Epoch } from "#protocol/ids.ts";
import { isNotLeading, type KnownLeader, type Leadership, type NotLeading } from "#protocol/leadership.ts";
import { findInstead, firstGuess, HOPS_MAX, isNews, type StandAnswer } from "./search.ts";

/** Pause before others are asked again because the leader that is known does not lead, ms. */
const ASK_AGAIN_MS = 5_000;

/** What this needs of a candidate, besides what its callers ask of it. */
interface Candidate {
  stand(insteadOf: Epoch): Promise<Leadership>;
}

export interface LeaderFinderOptions<Stub extends Candidate> {
  readonly candidates: readonly string[];
  /** A fresh stub for each call: one that threw is broken for good. */
  readonly stub: (candidate: string) => Stub;
  readonly now: () => Millis;
  /** Who led when an earlier instance of the caller was told, if it kept that. */
  readonly remembered?: KnownLeader | undefined;
  readonly onLearned?: (leader: KnownLeader) => void;
}

/** The leader cannot take a call now, and it was not executed: the same call may be made again. */
export type Busy = NotLeading & { readonly overloaded?: boolean };

export class LeaderFinder<Stub extends Candidate> {
  readonly #options: LeaderFinderOptions<Stub>;
  #known: KnownLeader;
  #askedAt = millis(Number.NEGATIVE_INFINITY);

  constructor(options: LeaderFinderOptions<Stub>) {
    this.#options = options;
    this.#known = options.remembered ?? firstGuess(options.candidates);
  }

  /** Who led last, as far as anybody said here. */
  get known(): KnownLeader {
    return this.#known;
  }

  /** Somebody said who leads; only what is newer counts. */
  learn(leader: KnownLeader): void {
    if (!isNews(leader, this.#known)) return;
    // A copy: what came in an answer of another object must not be held.
    this.#known = { candidate: leader.candidate, epoch: leader.epoch };
    this.#options.onLearned?.(this.#known);
  }

  /** For calls that change nothing: made again, at another candidate, when it is not known whether they arrived. */
  read<T>(call: (leader: Stub) => Promise<T>): Promise<T | Busy> {
    return this.#call(call, { repeatable: true });
  }

  /** For all others: made again only when it is certain that nobody executed it. */
  write<T>(call: (leader: Stub) => Promise<T>): Promise<T | Busy> {
    return this.#call(call, { repeatable: false });
  }

  async #call<T>(
    call: (leader: Stub) => Promise<T>,
    { repeatable }: { readonly repeatable: boolean },
  ): Promise<T | Busy> {
    let reason = "the leader changed again and again while it was looked for";
    let isSecondTry = false;
    for (let hop = 0; hop < HOPS_MAX; hop++) {
      const asked = this.#known;
      try {
        const answer = await call(this.#options.stub(asked.candidate));
        if (!isNotLeading(answer)) return answer;
        if (isNews(answer.leader, asked)) this.learn(answer.leader);
        // It answers, and neither leads nor knows who does: it may be cut off from the log, where others are not.
        else if (answer.leader !== undefined || !(await this.#findBetter(asked))) return answer;
      } catch (error) {
        reason = `${asked.candidate} did not answer: ${String(error)}`;
        if (isOverloaded(error)) return { type: "not-leading", reason, overloaded: true };
        // Also after a call that is not made again: the next one finds the leader.
        const found = await findInstead(this.#options.candidates, asked, (...args) => this.#askToStand(...args));
        if (found.type === "leader") this.learn(found.leader);
        if (!repeatable)
          return { type: "not-leading", reason: `${reason}; whether it did what was asked is not known` };
        if (found.type === "none" || (found.type === "alive" && isSecondTry)) {
          return { type: "not-leading", reason: `${reason}; ${found.reason}` };
        }
        isSecondTry ||= found.type === "alive";
      }
    }
    return { type: "not-leading", reason };
  }

  /** True when another leads. Asked now and then only: without a quorum nobody can, and each would look for itself. */
  async #findBetter(asked: KnownLeader): Promise<boolean> {
    const { candidates, now } = this.#options;
    if (candidates.length === 1 || now() < this.#askedAt + ASK_AGAIN_MS) return false;
    this.#askedAt = now();
    const others = candidates.filter((name) => name !== asked.candidate);
    const found = await findInstead(others, asked, (...args) => this.#askToStand(...args));
    if (found.type === "leader") this.learn(found.leader);
    return isNews(this.#known, asked);
  }

  async #askToStand(candidate: string, insteadOf: Epoch): Promise<StandAnswer> {
    try {
      return copyOf(await this.#options.stub(candidate).stand(insteadOf));
    } catch (error) {
      return { type: "unreachable", reason: `${candidate} did not answer: ${String(error)}` };
    }
  }
}

/** What came in an answer of another object must not be held. */
function copyOf(answer: Leadership): Leadership {
  if (answer.type === "leading") return { type: "leading", candidate: answer.candidate, epoch: answer.epoch };
  const { reason, leader, looking } = answer;
  return { type: "not-leading", reason, leader: leader === undefined ? undefined : { ...leader }, looking };
}

/** An object that has more to do than it can take refuses a call before it begins: it lives, and the call was not executed. */
export const isOverloaded = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "overloaded" in error && error.overloaded === true;
