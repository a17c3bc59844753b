// One round: the same question to all replicas, and one count over their answers. Pure and incremental: the driver
// sends what `open`, `hear` and `resend` return, feeds every answer and every failure back, and calls `expire` at the deadline.
//
// A round goes by one membership. It is given one, or finds it: it begins with the replicas that the caller can name, takes
// the newest membership that any answer carries, and asks its members under it. A vote that was given under another
// membership does not count [L23].
import { assert, unreachable } from "#base/assert.ts";
import { type Ballot, compareBallots } from "./ballot.ts";
import type { Electorate, Position, ReplicaId } from "./entry.ts";
import { FIRST_POSITION, quorumOf, replicasOf, seatOf } from "./entry.ts";
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
  /** Messages that were not answered yet, to be sent once more: each of them may be repeated at will (H7). */
  resend(): readonly Send[];
  /**
   * The deadline has passed: whoever was silent counts as unreachable. A round that got pages meanwhile, and waits for more of
   * them, goes on for as long again instead: what a replica has to show may be long, and the way to it too.
   */
  expire(): void;
  readonly isOver: boolean;
}

/** What one answer is worth. */
export type Ballotted<Vote> =
  | { readonly type: "vote"; readonly vote: Vote }
  /** The vote has more pages: ask the same replica on. */
  | { readonly type: "more"; readonly message: ReplicaMessage }
  | { readonly type: "refused"; readonly promised: Ballot }
  | { readonly type: "none"; readonly reason: string };

/** A replica that could vote if it were sent what it lacks: the entries up to the membership, or those that are damaged. */
export interface Behind {
  readonly replica: ReplicaId;
  readonly standing: Standing;
}

/** Impossible, or out of time. */
export interface NoQuorum {
  readonly type: "unavailable";
  /** For people: which replicas did not answer, and how. */
  readonly reason: string;
  readonly reachable: number;
  readonly replicas: number;
  /** What the round went by, if anybody told it. */
  readonly electorate: Electorate | undefined;
  readonly behind: readonly Behind[];
  /** Somebody who answered has learned a membership: the log is known. */
  readonly isLogKnown: boolean;
  /** Everybody who was asked, also those that turned out to be no members: they may know what the members lack. */
  readonly asked: readonly ReplicaId[];
}

export type Verdict<Vote> =
  | { readonly type: "undecided" }
  | { readonly type: "decided"; readonly votes: ReadonlyMap<ReplicaId, Vote>; readonly electorate: Electorate }
  | { readonly type: "refused"; readonly promised: Ballot }
  | NoQuorum;

/** Where a round that finds its membership begins: the replicas that the caller can name, and the newest that it knows of. */
export interface Acquaintance {
  readonly seeds: readonly ReplicaId[];
  readonly known?: Electorate;
}

export interface QuorumQuestion<Vote> {
  /** The membership to go by: a newer one fences the caller. Or where to begin, then the round follows the newest. */
  readonly electorate: Electorate | Acquaintance;
  /** The question, under the membership at this position. */
  ask(membershipPosition: Position): ReplicaMessage;
  judge(from: ReplicaId, answer: ReplicaAnswer): Ballotted<Vote>;
}

/** Counts until a quorum of the membership has voted, one member refuses, or neither is possible any more. */
export class QuorumRound<Vote> implements Round {
  readonly #question: QuorumQuestion<Vote>;
  readonly #isFixed: boolean;
  readonly #seeds: readonly ReplicaId[];
  /** Questions without an answer yet. */
  readonly #open = new Map<ReplicaId, ReplicaMessage>();
  readonly #votes = new Map<ReplicaId, Vote>();
  /** Replicas that answered without a vote, or did not answer: the reason, for people. */
  readonly #silent = new Map<ReplicaId, { readonly reason: string; readonly reached: boolean }>();
  readonly #behind = new Map<ReplicaId, Behind>();
  readonly #asked = new Set<ReplicaId>();
  #isLogKnown = false;
  /** A page came in since the deadline was last looked at. */
  #hasMoved = false;
  #electorate: Electorate | undefined;
  #refusal: Ballot | undefined;
  #verdict: Verdict<Vote> = { type: "undecided" };

  constructor(question: QuorumQuestion<Vote>) {
    this.#question = question;
    const { electorate } = question;
    this.#isFixed = "membership" in electorate;
    this.#electorate = "membership" in electorate ? electorate : electorate.known;
    const members = this.#electorate === undefined ? [] : replicasOf(this.#electorate.membership);
    const seeds = "membership" in electorate ? [] : electorate.seeds;
    this.#seeds = [...new Set([...members, ...seeds])];
    assert(this.#seeds.length > 0, "a round asks somebody");
  }

  get verdict(): Verdict<Vote> {
    return this.#verdict;
  }

  get isOver(): boolean {
    return this.#verdict.type !== "undecided";
  }

  open(): readonly Send[] {
    return this.#ask(this.#seeds);
  }

  hear(from: ReplicaId, heard: Heard): readonly Send[] {
    if (this.isOver) return [];
    const sends = this.#count(from, heard);
    this.#verdict = this.#conclude();
    return this.isOver ? [] : sends;
  }

  resend(): readonly Send[] {
    return this.isOver ? [] : [...this.#open].map(([to, message]) => ({ to, message }));
  }

  expire(): void {
    if (this.isOver) return;
    if (this.#hasMoved) {
      this.#hasMoved = false;
      return;
    }
    for (const replica of this.#replicas()) {
      if (!this.#isCounted(replica)) this.#silent.set(replica, { reason: "no answer in time", reached: false });
    }
    this.#verdict = this.#conclude();
    assert(this.isOver, "a round without open answers has a verdict");
  }

  #ask(replicas: readonly ReplicaId[]): readonly Send[] {
    const message = this.#question.ask(this.#electorate?.position ?? FIRST_POSITION);
    return replicas.map((to) => {
      this.#open.set(to, message);
      this.#asked.add(to);
      return { to, message };
    });
  }

  #count(from: ReplicaId, heard: Heard): readonly Send[] {
    if (this.#isCounted(from)) return []; // a repeated answer is one answer
    if (heard.type === "unreachable") {
      this.#settle(from, { reason: heard.reason, reached: false });
      return [];
    }
    const { answer } = heard;
    if (answer.standing.electorate !== undefined && answer.type !== "foreign-cluster") this.#isLogKnown = true;
    const discovered = this.#discover(answer);
    // Asked again just now: this was the answer to the older question.
    if (discovered.some(({ to }) => to === from)) return discovered;
    if (this.#isLate(answer)) return discovered;
    const judged = this.#judge(from, answer);
    switch (judged.type) {
      case "vote":
        this.#open.delete(from);
        this.#votes.set(from, judged.vote);
        return discovered;
      case "more":
        this.#hasMoved = true;
        this.#open.set(from, judged.message);
        return [...discovered, { to: from, message: judged.message }];
      case "refused":
        if (this.#refusal === undefined || compareBallots(judged.promised, this.#refusal) > 0) {
          this.#refusal = judged.promised;
        }
        return discovered;
      case "none":
        this.#settle(from, { reason: judged.reason, reached: true });
        if (answer.type === "behind" || answer.standing.damaged !== undefined) {
          this.#behind.set(from, { replica: from, standing: answer.standing });
        }
        return discovered;
      default:
        return unreachable(judged);
    }
  }

  /** An answer to the question as it was before a newer membership came up; the answer that counts is on its way. */
  #isLate({ type, standing }: ReplicaAnswer): boolean {
    if (this.#isFixed) return false;
    const isVote = type === "promised" || type === "accepted" || type === "confirmed";
    return type === "stale-membership" || (isVote && standing.electorate?.position !== this.#electorate?.position);
  }

  #judge(from: ReplicaId, answer: ReplicaAnswer): Ballotted<Vote> {
    // Whoever goes by a fixed membership has been overtaken by the one who changed it.
    if (answer.type === "stale-membership") return { type: "refused", promised: answer.standing.promised };
    const judged = this.#question.judge(from, answer);
    if (judged.type === "vote" && answer.standing.electorate?.position !== this.#electorate?.position) {
      return { type: "none", reason: "it goes by another membership" };
    }
    return judged;
  }

  #settle(replica: ReplicaId, why: { readonly reason: string; readonly reached: boolean }): void {
    this.#open.delete(replica);
    this.#silent.set(replica, why);
  }

  /** Takes the membership that an answer carries, if it is newer, and asks all its members under it. */
  #discover({ type, standing: { electorate } }: ReplicaAnswer): readonly Send[] {
    if (this.#isFixed || type === "foreign-cluster" || type === "invalid" || electorate === undefined) return [];
    if (this.#electorate !== undefined && electorate.position <= this.#electorate.position) return [];
    const isFirst = this.#electorate === undefined && electorate.position === FIRST_POSITION;
    this.#electorate = electorate;
    const members = replicasOf(electorate.membership);
    // Everybody was asked under the first membership already; only who was not named by the caller is missing.
    if (isFirst) return this.#ask(members.filter((member) => !this.#seeds.includes(member)));
    this.#votes.clear();
    this.#behind.clear();
    this.#silent.clear();
    this.#open.clear();
    return this.#ask(members);
  }

  #replicas(): readonly ReplicaId[] {
    return this.#electorate === undefined ? this.#seeds : replicasOf(this.#electorate.membership);
  }

  #isCounted(replica: ReplicaId): boolean {
    return this.#votes.has(replica) || this.#silent.has(replica);
  }

  #conclude(): Verdict<Vote> {
    // Any refusal fences (H3): somebody else may have a quorum, and only an election can tell.
    if (this.#refusal !== undefined) return { type: "refused", promised: this.#refusal };
    const replicas = this.#replicas();
    const electorate = this.#electorate;
    const quorum = electorate === undefined ? Math.floor(replicas.length / 2) + 1 : quorumOf(electorate.membership);
    const votes = replicas.filter((replica) => this.#votes.has(replica)).length;
    if (electorate !== undefined && votes >= quorum) {
      const counted = [...this.#votes].filter(([replica]) => seatOf(electorate.membership, replica) !== undefined);
      return { type: "decided", votes: new Map(counted), electorate };
    }
    const open = replicas.filter((replica) => !this.#isCounted(replica)).length;
    // Until somebody has told the membership, the callers' names may be the wrong ones: impossible is not known yet.
    if (open > 0 && (electorate === undefined || votes + open >= quorum)) return { type: "undecided" };
    return this.#unavailable(replicas, quorum, votes);
  }

  #unavailable(replicas: readonly ReplicaId[], quorum: number, votes: number): NoQuorum {
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
      electorate: this.#electorate,
      behind: [...this.#behind.values()],
      isLogKnown: this.#isLogKnown,
      asked: [...this.#asked],
    };
  }
}

/** Collects what every one of `sends` comes back with; over when all have answered or failed, or at the deadline. */
export class GatherRound implements Round {
  readonly #sends: readonly Send[];
  readonly #isEnough: (heard: GatherRound) => boolean;
  readonly #heard = new Map<ReplicaId, Heard>();
  #expired = false;

  /** `isEnough` may end it before everybody has answered. */
  constructor(sends: readonly Send[], isEnough: (heard: GatherRound) => boolean = () => false) {
    this.#sends = sends;
    this.#isEnough = isEnough;
  }

  /** What was heard from `replica`; before the end, from whoever was silent, that there was no answer in time. */
  heardFrom(replica: ReplicaId): Heard {
    return this.#heard.get(replica) ?? { type: "unreachable", reason: "no answer in time" };
  }

  /** How `replica` stands, undefined when it did not answer. */
  standingOf(replica: ReplicaId): Standing | undefined {
    const heard = this.#heard.get(replica);
    return heard?.type === "answer" ? heard.answer.standing : undefined;
  }

  get isOver(): boolean {
    return this.#expired || this.#heard.size === this.#sends.length || this.#isEnough(this);
  }

  open(): readonly Send[] {
    return this.#sends;
  }

  hear(from: ReplicaId, heard: Heard): readonly Send[] {
    if (!this.isOver && !this.#heard.has(from)) this.#heard.set(from, heard);
    return [];
  }

  resend(): readonly Send[] {
    return this.isOver ? [] : this.#sends.filter(({ to }) => !this.#heard.has(to));
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
    case "behind":
      return "it has not learned the membership yet";
    default:
      return `it answered '${answer.type}'`;
  }
}
