// The shell of one candidate's Registrar: sends its calls to the RegistrarWorker, feeds every answer back, stores ballots, and
// lets callers wait for leadership. Whether it may stand where another has led, src/master/standing.ts decides. What leading means
// for agents and frameworks is MasterDO's business.
import { backoffMs } from "#base/backoff.ts";
import { millis, type Millis } from "#base/time.ts";
import { newTimer, record, timerMetrics } from "#metrics/timer.ts";
import type { Epoch, MasterId } from "#protocol/ids.ts";
import type { KnownLeader, Leadership } from "#protocol/leadership.ts";
import type { Ballot, CandidateId } from "../log/ballot.ts";
import type { LogStatus, MembershipChange, RegistrarCalls, StatusCall, Unavailable } from "../log/calls.ts";
import type { ChangeOutcome } from "../log/coordinator.ts";
import type { ClusterId } from "../log/entry.ts";
import {
  leadsWhenCalled,
  ownerOf,
  type SignOfLife,
  type Silences,
  stand,
  type TailSeen,
  type Verdict,
} from "../master/standing.ts";
import type { RegistryCalls } from "../registrar/calls.ts";
import type { RegistryOperation } from "../registrar/operations.ts";
import {
  ballotOf,
  createRegistrar,
  nextWake,
  queuedOperations,
  registrySizeBytes,
  STAND_BACKOFF,
  step,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
} from "../registrar/registrar.ts";
import type { MasterTables } from "./master-tables.ts";

/** Age of the last quorum confirmation at which a new one is asked for before anything leaves, ms. */
const CONFIRMATION_MS_MAX = 5_000;
/** Window of `registrar/state_store_ms`: a day. Source: Mesos registrar.cpp. */
const STORE_WINDOW_MS = 86_400_000;
/** Confirmations that one caller waits for: one that was under way, one of its own, and one to spare. */
const CONFIRMATIONS_MAX = 3;
/** Elections that follow each other at once, each above the ballot that refused the one before. */
const ELECTIONS_MAX = 3;
/** How long what the log said about another leader is taken for true, ms. */
const TAIL_MS_MAX = 1_000;
/** After another candidate's ballot was promised, it has this long to write its leader entry before we stand again, ms. */
const YIELD_MS = 2_000;
/** How long what came of standing is said again without looking anew, ms. */
const LOOKED_MS = 1_000;
/** How long whoever asks this candidate to stand waits for what comes of it, ms. It goes on without them. */
const STAND_ANSWER_MS = 1_500;

type Effect<Type extends RegistrarEffect["type"]> = Extract<RegistrarEffect, { type: Type }>;

export interface CandidateOptions {
  readonly name: string;
  /** All of this plane, in the order in which they are asked. */
  readonly candidates: readonly string[];
  readonly leaderSilenceMs: number;
  readonly tables: MasterTables;
  readonly log: () => RegistrarCalls & RegistryCalls;
  readonly note: (message: string, details: Readonly<Record<string, unknown>>) => void;
  /** Calls another candidate, which is believed to lead. */
  readonly callLeader: (candidate: string) => Promise<SignOfLife>;
  readonly onLeading: (registrar: Registrar, effect: Effect<"leading">) => void;
  readonly onNotLeading: (effect: Effect<"not-leading">) => void;
  /** Another candidate leads under a newer epoch: what this one held of its own is never used again. */
  readonly onFollowing: (leader: KnownLeader) => void;
  readonly onOutcome: (registrar: Registrar, effect: Effect<"outcome">) => void;
  /** After all effects of a turn. */
  readonly afterTurn: () => void;
  /** A turn failed half-way: the object must begin anew. */
  readonly onFailure: (error: unknown) => void;
}

const random = { next: () => Math.random() };
const now = (): Millis => millis(Date.now());

export class Candidate {
  readonly #options: CandidateOptions;
  readonly #nonce = crypto.randomUUID();
  readonly #fetchTimer = newTimer(0);
  readonly #storeTimer = newTimer(STORE_WINDOW_MS);
  #registrar: Registrar | undefined;
  /** Defined while this candidate leads. */
  #epoch: Epoch | undefined;
  #confirmedAt = 0;
  /** The other candidate that leads, as far as we know, and since when we know. */
  #leader: { readonly known: KnownLeader; readonly seenAt: number } | undefined;
  #tail: Promise<TailSeen> | undefined;
  #tailFailures = 0;
  #tailRetryAt = 0;
  #standing: Promise<Verdict["type"]> | undefined;
  #standings = 0;
  /** What was said last to somebody who asked us to stand. */
  #looked: { readonly at: number; readonly insteadOf: Epoch; readonly answer: Leadership } | undefined;
  #reason = "this candidate has not stood for election yet";
  #retryAt = 0;
  /** The last ballot was given up because a higher one had been promised. */
  #isFenced = false;
  #lastUnavailable: Unavailable | undefined;
  #waiters: ((leadership: Leadership) => void)[] = [];
  /** Calls to the log that have not been answered: while there is one, an answer to the waiters will come. */
  #asked = 0;
  #wake: { readonly at: Millis; readonly handle: ReturnType<typeof setTimeout> } | undefined;
  readonly #changes = new Map<number, (outcome: ChangeOutcome) => void>();
  /** Changes of the membership count downwards, operations of the master upwards: one number space for the Registrar. */
  #lastChange = -1;
  #storedMembership = 0;

  constructor(options: CandidateOptions) {
    this.#options = options;
  }

  get leading(): boolean {
    return this.#epoch !== undefined;
  }

  /** Whether it may say something on its own account now: a quorum confirmed it a moment ago. */
  get isConfirmed(): boolean {
    return this.leading && this.#isConfirmed(Date.now() - CONFIRMATION_MS_MAX);
  }

  /** Why it does not lead, for people. */
  get reason(): string {
    return this.#reason;
  }

  get retryAt(): number {
    return this.#retryAt;
  }

  /** When a quorum last confirmed us; 0 when none has. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  get ballot(): Ballot | undefined {
    return this.#registrar === undefined ? undefined : ballotOf(this.#registrar);
  }

  get registrar(): Registrar | undefined {
    return this.#registrar;
  }

  /**
   * Resolves when a quorum has confirmed us after `since`, or when it is clear that none does now. What ends tasks asks for
   * a confirmation that is younger than its cause; everything else takes one of the last 5 s. A candidate that does not lead
   * stands only where the log names it [M40].
   */
  async lead(since = Date.now() - CONFIRMATION_MS_MAX): Promise<Leadership> {
    for (let attempt = 0; attempt < CONFIRMATIONS_MAX; attempt++) {
      if (this.leading && this.#isConfirmed(since)) break;
      const registrar = await this.#open();
      if (registrar === undefined) break;
      if (!this.leading && (!(await this.#leadsWhenCalled(registrar)) || Date.now() < this.#retryAt)) break;
      const wasLeading = this.leading;
      const leadership = await this.#turnAndWait(registrar, { type: wasLeading ? "confirm" : "stand" });
      // One that was deposed looks once more: whoever asked wants to know by whom.
      if (leadership.type === "not-leading" && !(wasLeading && this.#options.candidates.length > 1)) return leadership;
    }
    return this.#isConfirmed(since) ? this.#leadership() : this.#notLeading();
  }

  /** One from the future is none: the clock was set back, and for as long nobody would find out that another leads. */
  #isConfirmed(since: number): boolean {
    return this.#confirmedAt > since && this.#confirmedAt <= Date.now();
  }

  /**
   * Who leads, for somebody who only wants to know: nothing is elected for it, and of what an election needs nothing is loaded.
   * Undefined when only standing could tell.
   */
  async owner(): Promise<KnownLeader | undefined> {
    const { name: self, candidates, tables } = this.#options;
    const epoch = tables.meta("epoch")?.epoch;
    if (candidates.length === 1) return epoch === undefined ? undefined : { candidate: self, epoch };
    const registrar = await this.#open();
    if (registrar === undefined) return undefined;
    const tail = await this.#readTail(registrar);
    return tail.type === "tail" ? tail.leader : undefined;
  }

  /** Somebody has heard of a higher epoch than ours: a quorum decides at once whether we still lead [M47]. */
  async hear(epoch: Epoch): Promise<Leadership> {
    return this.#epoch !== undefined && epoch > this.#epoch ? this.lead(Date.now() - 1) : this.lead();
  }

  /** Elects whoever leads: an operator wants it so. */
  async elect(): Promise<Leadership> {
    const registrar = await this.#open();
    if (registrar === undefined) return this.#notLeading();
    if (this.leading && (await this.lead(Date.now() - 1)).type === "leading") return this.#leadership();
    return this.#elect(registrar);
  }

  /** Whoever has not stood for long learns from the first refusal how high ballots are by now. */
  async #elect(registrar: Registrar): Promise<Leadership> {
    for (let attempt = 1; ; attempt++) {
      const leadership = await this.#turnAndWait(registrar, { type: "stand", forced: true });
      if (leadership.type === "leading" || !this.#isFenced || attempt === ELECTIONS_MAX) return leadership;
    }
  }

  /**
   * Somebody cannot reach the leader. Answers after a moment, whatever has come of it by then; asking again joins what is under
   * way, or hears what came of it a moment ago: a colo full of callers that are cut off must not become a load on the log.
   */
  async stand(insteadOf: Epoch): Promise<Leadership> {
    if (this.leading) return this.lead();
    const looked = this.#looked;
    if (looked !== undefined && Date.now() < looked.at + LOOKED_MS && looked.insteadOf >= insteadOf)
      return looked.answer;
    this.#standing ??= this.#stand(insteadOf).finally(() => (this.#standing = undefined));
    const verdict = await Promise.race([
      this.#standing,
      scheduler.wait(STAND_ANSWER_MS).then(() => "looking" as const),
    ]);
    if (this.leading) return this.#leadership();
    const reason = this.#reason;
    if (verdict === "looking") return { type: "not-leading", reason, looking: true };
    const answer: Leadership = verdict === "follow" ? this.#leadership() : { type: "not-leading", reason };
    this.#looked = { at: Date.now(), insteadOf, answer };
    return answer;
  }

  async #stand(insteadOf: Epoch): Promise<Verdict["type"]> {
    const registrar = await this.#open();
    if (registrar === undefined || Date.now() < this.#retryAt) return "wait";
    const { name: self, candidates, leaderSilenceMs: silenceMs } = this.#options;
    const verdict: Verdict = await stand(
      { self, candidates, insteadOf, silenceMs, attempt: this.#standings },
      {
        random,
        now,
        tail: () => this.#readTail(registrar),
        callLeader: (candidate) => {
          this.#reason = `${candidate} was reported missing: this candidate looks whether it is`;
          return this.#options.callLeader(candidate);
        },
        silences: () => this.#silences(),
        wait: (ms) => scheduler.wait(ms),
      },
    );
    this.#options.note("asked to stand", {
      insteadOf,
      verdict: verdict.type,
      ...(verdict.type === "elect" ? {} : { reason: verdict.reason }),
    });
    if (verdict.type === "follow") this.#follow(verdict.leader, verdict.reason);
    else if (verdict.type === "wait") this.#reason = verdict.reason;
    else {
      this.#standings++;
      await this.#elect(registrar);
    }
    return verdict.type;
  }

  async #leadsWhenCalled(registrar: Registrar): Promise<boolean> {
    const { name: self, candidates } = this.#options;
    if (candidates.length === 1) return true;
    if (this.#leader !== undefined && Date.now() < this.#leader.seenAt + TAIL_MS_MAX) return false;
    const tail = await this.#readTail(registrar);
    if (this.leading) return true;
    if (tail.type === "unavailable") {
      this.#reason = tail.reason;
      return false;
    }
    const owner = ownerOf(tail.leader, { self, candidates });
    if (owner.type === "other")
      this.#follow(owner.leader, `${owner.leader.candidate} leads since epoch ${owner.leader.epoch}`);
    else this.#leader = undefined;
    if (leadsWhenCalled(owner, { self, candidates })) return true;
    if (owner.type === "nobody") this.#reason = `nobody has led yet: ${candidates[0]} is asked first`;
    return false;
  }

  #follow(leader: KnownLeader, reason: string): void {
    // Elected while this was looked up.
    if (this.leading) return;
    this.#leader = { known: leader, seenAt: Date.now() };
    this.#reason = reason;
    this.#options.onFollowing(leader);
  }

  /** One at a time. Without a quorum the pauses between them grow, as those between elections do. */
  async #readTail({ options: { clusterId }, coordinator: { known } }: Registrar): Promise<TailSeen> {
    if (Date.now() < this.#tailRetryAt) return { type: "unavailable", reason: this.#reason };
    this.#tail ??= this.#attempt((log) => log.readTail({ clusterId, known }))
      .then((answer): TailSeen => {
        if (answer.type === "unavailable") {
          this.#tailRetryAt = Date.now() + backoffMs(random, this.#tailFailures++, STAND_BACKOFF);
          return { type: "unavailable", reason: `no quorum: ${answer.reason}` };
        }
        this.#tailFailures = 0;
        const { leader } = answer;
        return {
          type: "tail",
          leader: leader === undefined ? undefined : { candidate: leader.candidate, epoch: leader.epoch },
        };
      })
      .finally(() => (this.#tail = undefined));
    return this.#tail;
  }

  async #silences(): Promise<Silences> {
    try {
      const { replicas } = await this.#options.log().status({ ...this.logKnowledge(), placeless: true });
      const members = replicas.filter(({ member }) => member);
      const voting = members.filter(({ status }) => status === "voting");
      return { members: members.length, silentMs: voting.flatMap(({ silentMs }) => silentMs ?? []) };
    } catch {
      return { members: 1, silentMs: [] };
    }
  }

  /** No reason to wait any longer: the log was just made, or another would stand. */
  standSoon(): void {
    // Whoever refused us may be about to write its leader entry.
    if (!this.#isFenced) this.#retryAt = 0;
    this.#tailRetryAt = 0;
  }

  apply(id: number, operation: RegistryOperation, { who, why }: { readonly who: string; readonly why: string }): void {
    if (this.#registrar === undefined) return;
    this.#turn(this.#registrar, { type: "apply", id, audited: { operation, audit: { who, why, when: now() } } });
  }

  /** Changes the membership of the log; resolves when the change is chosen, or it is clear that it is not. */
  async changeMembership(change: MembershipChange): Promise<ChangeOutcome> {
    const leadership = await this.lead();
    if (leadership.type === "not-leading") return { type: "refused", reason: leadership.reason };
    const registrar = this.#registrar;
    if (registrar === undefined) return { type: "refused", reason: this.#reason };
    const id = --this.#lastChange;
    const { promise, resolve } = Promise.withResolvers<ChangeOutcome>();
    this.#changes.set(id, resolve);
    this.#turn(registrar, { type: "change-membership", id, change });
    return promise;
  }

  /** What this candidate can tell somebody who asks the replicas themselves. */
  logKnowledge(): StatusCall {
    const known = this.#options.tables.meta("electorate");
    const phase = this.#registrar?.coordinator.phase;
    const change = phase?.state === "elected" ? phase.change?.change : undefined;
    if (change === undefined || change.type === "remove") return { known };
    return { known, also: [change.type === "add" ? change.replica : change.by] };
  }

  /** The `registrar/*` keys; those that nothing was measured for yet are absent, as in Mesos. */
  metrics(replicas: number, at: Millis): Record<string, number> {
    const registrar = this.#registrar;
    return {
      "registrar/queued_operations": registrar === undefined ? 0 : queuedOperations(registrar),
      ...(registrar?.registry.leader === undefined
        ? {}
        : { "registrar/registry_size_bytes": registrySizeBytes(registrar) }),
      ...timerMetrics("registrar/state_fetch_ms", this.#fetchTimer, at),
      ...timerMetrics("registrar/state_store_ms", this.#storeTimer, at),
      "registrar/log/recovered": this.leading ? 1 : 0,
      "registrar/log/ensemble_size": replicas,
      // Ours: how many replicas answered the last round that found no quorum; absent while there is one.
      ...(this.#lastUnavailable === undefined
        ? {}
        : { "registrar/log/replicas_reachable": this.#lastUnavailable.reachable }),
    };
  }

  #leadership(): Leadership {
    const { name } = this.#options;
    return this.#epoch === undefined ? this.#notLeading() : { type: "leading", candidate: name, epoch: this.#epoch };
  }

  #notLeading(): Leadership {
    return { type: "not-leading", reason: this.#reason, leader: this.#leader?.known };
  }

  #turnAndWait(registrar: Registrar, input: RegistrarInput): Promise<Leadership> {
    const { promise, resolve } = Promise.withResolvers<Leadership>();
    this.#waiters.push(resolve);
    this.#turn(registrar, input);
    // Nothing was asked of the log: no answer would ever come.
    if (this.#asked === 0) this.#resolve();
    return promise;
  }

  #resolve(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    const leadership = this.#leadership();
    for (const resolve of waiters) resolve(leadership);
  }

  async #open(): Promise<Registrar | undefined> {
    if (this.#registrar !== undefined) return this.#registrar;
    const { name, tables } = this.#options;
    const clusterId = tables.meta("clusterId") ?? (await this.#learnClusterId());
    if (clusterId === undefined) return undefined;
    // Another caller may have opened it while this one asked.
    this.#registrar ??= createRegistrar({
      candidate: name as CandidateId,
      nonce: this.#nonce,
      newMasterId: () => crypto.randomUUID() as MasterId,
      clusterId,
      storedBallot: tables.meta("ballot"),
      known: tables.meta("electorate"),
      cachedEpoch: tables.meta("epoch")?.epoch,
    });
    return this.#registrar;
  }

  async #learnClusterId(): Promise<ClusterId | undefined> {
    let status: LogStatus;
    try {
      status = await this.#options.log().status({ ...this.logKnowledge(), placeless: true });
    } catch (error) {
      this.#reason = `the log did not answer: ${String(error)}`;
      return undefined;
    }
    if (status.clusterId === undefined) {
      const unreachable = status.replicas.filter((replica) => replica.status === "unreachable");
      const named = unreachable.map(({ id, reason }) => `${id}: ${reason ?? "unreachable"}`).join(", ");
      this.#reason =
        unreachable.length > 0
          ? `no quorum of the log's replicas: ${named}`
          : "this plane has no cluster yet: run 'mesoflare init' once";
      return undefined;
    }
    this.#options.tables.setMeta("clusterId", status.clusterId);
    return status.clusterId;
  }

  #turn(registrar: Registrar, input: RegistrarInput): void {
    try {
      for (const effect of step(registrar, input, now(), random)) this.#do(registrar, effect);
    } catch (error) {
      this.#options.onFailure(error);
      throw error;
    }
    this.#options.afterTurn();
    this.#storeMembership(registrar);
    this.#setWake(registrar);
  }

  /** The next instance begins its election with these replicas: those of the configuration may all have been replaced. */
  #storeMembership({ coordinator: { known } }: Registrar): void {
    const { tables } = this.#options;
    if (known === undefined || known.position === this.#storedMembership) return;
    tables.setMeta("electorate", known);
    this.#storedMembership = known.position;
  }

  #setWake(registrar: Registrar): void {
    const at = nextWake(registrar);
    if (this.#wake?.at === at) return;
    if (this.#wake !== undefined) clearTimeout(this.#wake.handle);
    this.#wake = undefined;
    if (at === undefined) return;
    const onDue = (): void => {
      this.#wake = undefined;
      this.#turn(registrar, { type: "tick" });
    };
    this.#wake = { at, handle: setTimeout(onDue, Math.max(0, at - Date.now())) };
  }

  #onChanged(id: number, outcome: ChangeOutcome): void {
    this.#changes.get(id)?.(outcome);
    this.#changes.delete(id);
  }

  #do(registrar: Registrar, effect: RegistrarEffect): void {
    switch (effect.type) {
      case "store-ballot":
        this.#options.tables.setMeta("ballot", effect.ballot);
        return;
      case "elect": {
        const since = Date.now();
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.elect(effect.call),
          (answer) => {
            record(this.#fetchTimer, Date.now() - since, Date.now());
            this.#turn(registrar, { type: "elect-answered", ballot, answer });
          },
        );
        return;
      }
      case "append": {
        const since = Date.now();
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.append(effect.call),
          (answer) => {
            if (answer.type === "appended") record(this.#storeTimer, Date.now() - since, Date.now());
            this.#turn(registrar, { type: "append-answered", ballot, answer });
          },
        );
        return;
      }
      case "confirm": {
        const { ballot } = effect.call;
        void this.#ask(
          (log) => log.confirm(effect.call),
          (answer) => this.#turn(registrar, { type: "confirm-answered", ballot, answer }),
        );
        return;
      }
      case "gather":
        setTimeout(() => this.#turn(registrar, { type: "gathered" }), 0);
        return;
      // Beside #ask: no answer to these tells who leads, and a preparation may take long.
      case "settle": {
        const { ballot } = effect.call;
        void this.#attempt((log) => log.settle(effect.call)).then((answer) =>
          this.#turn(registrar, { type: "settle-answered", ballot, answer }),
        );
        return;
      }
      case "prepare": {
        const { ballot } = effect;
        void this.#attempt((log) => log.prepare(effect.call)).then((answer) =>
          this.#turn(registrar, { type: "prepare-answered", ballot, answer }),
        );
        return;
      }
      case "read": {
        const { ballot } = effect;
        void this.#ask(
          (log) => log.read(effect.call),
          (answer) => this.#turn(registrar, { type: "read-answered", ballot, answer }),
        );
        return;
      }
      case "membership-changed":
        this.#options.note("the membership of the log", { outcome: effect.outcome });
        this.#onChanged(effect.id, effect.outcome);
        return;
      case "leading":
        this.#epoch = effect.epoch;
        this.#leader = undefined;
        this.#standings = 0;
        this.#options.onLeading(registrar, effect);
        this.#resolve();
        return;
      case "confirmed":
        this.#confirmedAt = this.#isConfirmed(effect.at) ? this.#confirmedAt : effect.at;
        if (this.leading) this.#resolve();
        return;
      case "outcome":
        this.#options.onOutcome(registrar, effect);
        return;
      case "not-leading":
        this.#epoch = undefined;
        this.#reason = effect.reason;
        this.#retryAt = effect.retryAt;
        this.#isFenced = effect.fenced;
        if (effect.fenced && this.#options.candidates.length > 1)
          this.#retryAt = Math.max(this.#retryAt, Date.now() + YIELD_MS);
        for (const id of effect.ids) {
          const reason = `${effect.reason}; whether the change was made, 'mesoflare log status' tells`;
          this.#onChanged(id, { type: "unknown", reason });
        }
        this.#options.onNotLeading(effect);
        this.#resolve();
        return;
    }
  }

  /** `onAnswer` is called in the same turn in which the call stops counting as open. */
  async #ask<T>(
    call: (log: RegistrarCalls & RegistryCalls) => Promise<T>,
    onAnswer: (answer: T | Unavailable) => void,
  ): Promise<void> {
    this.#asked++;
    const answer = await this.#attempt(call);
    this.#asked--;
    this.#lastUnavailable = isUnavailable(answer) ? answer : undefined;
    onAnswer(answer);
  }

  async #attempt<T>(call: (log: RegistrarCalls & RegistryCalls) => Promise<T>): Promise<T | Unavailable> {
    try {
      return await call(this.#options.log());
    } catch (error) {
      return { type: "unavailable", reason: String(error), reachable: 0, replicas: 0 };
    }
  }
}

const isUnavailable = (answer: unknown): answer is Unavailable =>
  typeof answer === "object" && answer !== null && "type" in answer && answer.type === "unavailable";
