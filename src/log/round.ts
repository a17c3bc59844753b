// One round: the same question to all replicas, and one count over their answers. Pure and incremental: the driver
// sends what `open` and `hear` return, feeds every answer and every failure back, and calls `expire` at the deadline.
//
// A round finds the membership by itself: it begins with the replicas that the caller can name, takes the newest
// membership that any answer carries, asks members that it had not asked, and counts members only.
import { assert, unreachable } from "#base/assert.ts";
import { type Ballot, compareBallots } from "./ballot.ts";
import type { Membership, Position, ReplicaId } from "./entry.ts";
import { position, quorumOf } from "./entry.ts";
import type { ReplicaAnswer, ReplicaMessage, Standing } from "./messages.ts";

export interface Send {
  readonly to: ReplicaId;
  readonly message: ReplicaMessage;
}

/** What became of one delivery. */
export type Heard =
  | { readonly type: "answer"; readonly answer: ReplicaAnswer }
  | { readonly type: "unreachable"; readonly reason: string };

/** What the driver needs of any round. */
export interface Round {
  open(): readonly Send[];
  /** Follow-ups to send. Answers after the end are harmless. */
  hear(from: ReplicaId, heard: Heard): readonly Send[];
  /** The deadline has passed: whoever was silent counts as unreachable. */
  expire(): void;
  readonly isOver: boolean;
}

export interface Electorate {
  readonly membership: Membership;
  readonly position: Position;
}

/** What one answer is worth. */
export type Ballotted<Vote> =
  | { readonly type: "vote"; readonly vote: Vote }
  /** The vote has more pages: ask the same replica on. */
  | { readonly type: "more"; readonly message: ReplicaMessage }
  | { readonly type: "refused"; readonly promised: Ballot }
  | { readonly type: "none"; readonly reason: string };

export type Verdict<Vote> =
  | { readonly type: "undecided" }
  | { readonly type: "decided"; readonly votes: ReadonlyMap<ReplicaId, Vote>; readonly electorate: Electorate }
  | { readonly type: "refused"; readonly promised: Ballot }
  /** Impossible, or out of time. */
  | {
      readonly type: "unavailable";
      readonly reason: string;
      readonly reachable: number;
      readonly replicas: number;
    };

export interface QuorumQuestion<Vote> {
  /** The replicas that the caller can name. The real set comes with their answers. */
  readonly seeds: readonly ReplicaId[];
  /** The question, under the newest membership known. */
  ask(membershipPosition: Position): ReplicaMessage;
  judge(from: ReplicaId, answer: ReplicaAnswer): Ballotted<Vote>;
  /** A caller that goes by a fixed membership is fenced by a newer one; without it the round follows. */
  readonly fixedMembershipPosition?: Position;
}

/** Counts until a quorum of the newest membership has voted, one member refuses, or neither is possible any more. */
export class QuorumRound<Vote> implements Round {
  readonly #question: QuorumQuestion<Vote>;
  readonly #asked = new Set<ReplicaId>();
  readonly #votes = new Map<ReplicaId, Vote>();
  /** Replicas that answered without a vote, or did not answer: the reason, for people. */
  readonly #silent = new Map<ReplicaId, { readonly reason: string; readonly reached: boolean }>();
  #electorate: Electorate | undefined;
  #refusal: Ballot | undefined;
  #verdict: Verdict<Vote> = { type: "undecided" };

  constructor(question: QuorumQuestion<Vote>) {
    assert(question.seeds.length > 0, "a round asks somebody");
    this.#question = question;
  }

  get verdict(): Verdict<Vote> {
    return this.#verdict;
  }

  get isOver(): boolean {
    return this.#verdict.type !== "undecided";
  }

  open(): readonly Send[] {
    return this.#ask(this.#question.seeds);
  }

  hear(from: ReplicaId, heard: Heard): readonly Send[] {
    if (this.isOver) return [];
    const sends = this.#count(from, heard);
    this.#verdict = this.#conclude();
    return this.isOver ? [] : sends;
  }

  expire(): void {
    if (this.isOver) return;
    for (const replica of this.#replicas()) {
      if (!this.#isCounted(replica)) this.#silent.set(replica, { reason: "no answer in time", reached: false });
    }
    this.#verdict = this.#conclude();
    assert(this.isOver, "a round without open answers has a verdict");
  }

  #ask(replicas: readonly ReplicaId[]): readonly Send[] {
    const message = this.#question.ask(
      this.#question.fixedMembershipPosition ?? this.#electorate?.position ?? position(1),
    );
    return replicas.map((to) => {
      this.#asked.add(to);
      return { to, message };
    });
  }

  #count(from: ReplicaId, heard: Heard): readonly Send[] {
    if (this.#isCounted(from)) return []; // a repeated answer is one answer
    if (heard.type === "unreachable") {
      this.#silent.set(from, { reason: heard.reason, reached: false });
      return [];
    }
    const { answer } = heard;
    const discovered = this.#discover(answer.standing, answer.type);
    if (answer.type === "stale-membership" && this.#question.fixedMembershipPosition === undefined) {
      return [...discovered, ...this.#ask([from])];
    }
    const judged: Ballotted<Vote> =
      answer.type === "stale-membership"
        ? { type: "refused", promised: answer.standing.promised }
        : this.#question.judge(from, answer);
    switch (judged.type) {
      case "vote":
        this.#votes.set(from, judged.vote);
        return discovered;
      case "more":
        return [...discovered, { to: from, message: judged.message }];
      case "refused":
        if (this.#refusal === undefined || compareBallots(judged.promised, this.#refusal) > 0) {
          this.#refusal = judged.promised;
        }
        return discovered;
      case "none":
        this.#silent.set(from, { reason: judged.reason, reached: true });
        return discovered;
      default:
        return unreachable(judged);
    }
  }

  /** Takes the membership that an answer carries, if it is newer, and asks the members that were not asked. */
  #discover({ status, membership, membershipPosition }: Standing, type: ReplicaAnswer["type"]): readonly Send[] {
    if (type === "foreign-cluster" || type === "invalid") return [];
    if (status !== "voting" || membership === undefined) return [];
    if (this.#electorate !== undefined && membershipPosition <= this.#electorate.position) return [];
    this.#electorate = { membership, position: membershipPosition };
    return this.#ask(membership.replicas.filter((replica) => !this.#asked.has(replica)));
  }

  #replicas(): readonly ReplicaId[] {
    return this.#electorate?.membership.replicas ?? this.#question.seeds;
  }

  #isCounted(replica: ReplicaId): boolean {
    return this.#votes.has(replica) || this.#silent.has(replica);
  }

  #conclude(): Verdict<Vote> {
    // Any refusal fences (H3): somebody else may have a quorum, and only an election can tell.
    if (this.#refusal !== undefined) return { type: "refused", promised: this.#refusal };
    const replicas = this.#replicas();
    const quorum = quorumOf({ replicas });
    const votes = replicas.filter((replica) => this.#votes.has(replica)).length;
    if (this.#electorate !== undefined && votes >= quorum) {
      const members = new Set(replicas);
      return {
        type: "decided",
        votes: new Map([...this.#votes].filter(([replica]) => members.has(replica))),
        electorate: this.#electorate,
      };
    }
    const open = replicas.filter((replica) => !this.#isCounted(replica)).length;
    // Until somebody has told the membership, the callers' names may be the wrong ones: impossible is not known yet.
    if (open > 0 && (this.#electorate === undefined || votes + open >= quorum)) return { type: "undecided" };
    return this.#unavailable(replicas, quorum, votes);
  }

  #unavailable(replicas: readonly ReplicaId[], quorum: number, votes: number): Verdict<Vote> {
    const reasons = replicas.flatMap((replica) => {
      const silent = this.#silent.get(replica);
      return silent === undefined ? [] : [`${replica}: ${silent.reason}`];
    });
    const reached = replicas.filter((replica) => this.#silent.get(replica)?.reached === true).length;
    return {
      type: "unavailable",
      reason: `${votes} of ${replicas.length} replicas answered, ${quorum} needed: ${reasons.join(", ")}`,
      reachable: votes + reached,
      replicas: replicas.length,
    };
  }
}

/** Collects what every one of `messages` comes back with; over when all have answered or failed, or at the deadline. */
export class GatherRound implements Round {
  readonly #sends: readonly Send[];
  readonly #heard = new Map<ReplicaId, Heard>();
  #expired = false;

  constructor(sends: readonly Send[]) {
    this.#sends = sends;
  }

  /** What was heard from `replica`; before the end, from whoever was silent, that there was no answer in time. */
  heardFrom(replica: ReplicaId): Heard {
    return this.#heard.get(replica) ?? { type: "unreachable", reason: "no answer in time" };
  }

  get isOver(): boolean {
    return this.#expired || this.#heard.size === this.#sends.length;
  }

  open(): readonly Send[] {
    return this.#sends;
  }

  hear(from: ReplicaId, heard: Heard): readonly Send[] {
    if (!this.isOver && !this.#heard.has(from)) this.#heard.set(from, heard);
    return [];
  }

  expire(): void {
    this.#expired = true;
  }
}

/** What an answer says that is no vote: one sentence for people. */
export function describeAnswer(answer: ReplicaAnswer): string {
  switch (answer.type) {
    case "ignored":
    case "invalid":
      return answer.reason;
    case "foreign-cluster":
      return `it belongs to another cluster, ${answer.standing.clusterId ?? "unknown"}`;
    case "stale-membership":
      return "it knows a newer membership";
    default:
      return `it answered '${answer.type}'`;
  }
}
