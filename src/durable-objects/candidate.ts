// The shell of one candidate's Registrar: sends its calls to the RegistrarWorker, feeds every answer back, stores ballots, and
// lets callers wait for leadership. What leading means for agents and frameworks is MasterDO's business.
import { millis, type Millis } from "#base/time.ts";
import { newTimer, record, timerMetrics } from "#metrics/timer.ts";
import type { MasterId } from "#protocol/ids.ts";
import type { CandidateId } from "../log/ballot.ts";
import type { LogStatus, MembershipChange, RegistrarCalls, StatusCall, Unavailable } from "../log/calls.ts";
import type { ChangeOutcome } from "../log/coordinator.ts";
import type { ClusterId } from "../log/entry.ts";
import type { RegistryOperation } from "../registrar/operations.ts";
import {
  createRegistrar,
  nextWake,
  queuedOperations,
  registrySizeBytes,
  step,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
} from "../registrar/registrar.ts";
import type { MasterTables } from "./master-tables.ts";
import { note } from "./note.ts";

/** Age of the last quorum confirmation at which a new one is asked for before anything leaves, ms. */
const CONFIRMATION_MS_MAX = 5_000;
/** Window of `registrar/state_store_ms`: a day. Source: Mesos registrar.cpp. */
const STORE_WINDOW_MS = 86_400_000;
/** Confirmations that one caller waits for: one that was under way, one of its own, and one to spare. */
const CONFIRMATIONS_MAX = 3;

export type Leadership = { readonly type: "leading" } | { readonly type: "not-leading"; readonly reason: string };
type Effect<Type extends RegistrarEffect["type"]> = Extract<RegistrarEffect, { type: Type }>;

export interface CandidateOptions {
  readonly name: string;
  readonly tables: MasterTables;
  readonly log: () => RegistrarCalls;
  readonly onLeading: (registrar: Registrar, effect: Effect<"leading">) => void;
  readonly onNotLeading: (effect: Effect<"not-leading">) => void;
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
  #leading = false;
  #confirmedAt = 0;
  #reason = "this candidate has not stood for election yet";
  #retryAt = 0;
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
    return this.#leading;
  }

  /** Why it does not lead, for people. */
  get reason(): string {
    return this.#reason;
  }

  get retryAt(): number {
    return this.#retryAt;
  }

  get registrar(): Registrar | undefined {
    return this.#registrar;
  }

  /**
   * Resolves when a quorum has confirmed us after `since`, or when it is clear that none does now. What ends tasks asks for
   * a confirmation that is younger than its cause; everything else takes one of the last 5 s.
   */
  async lead(since = Date.now() - CONFIRMATION_MS_MAX): Promise<Leadership> {
    for (let attempt = 0; attempt < CONFIRMATIONS_MAX; attempt++) {
      if (this.#leading && this.#confirmedAt > since) return { type: "leading" };
      const registrar = await this.#open();
      if (registrar === undefined || (!this.#leading && Date.now() < this.#retryAt)) break;
      const { promise, resolve } = Promise.withResolvers<Leadership>();
      this.#waiters.push(resolve);
      this.#turn(registrar, { type: this.#leading ? "confirm" : "stand" });
      // Nothing was asked of the log: no answer would ever come.
      if (this.#asked === 0) this.#resolve();
      const leadership = await promise;
      if (leadership.type === "not-leading") return leadership;
    }
    return this.#leading && this.#confirmedAt > since ? { type: "leading" } : this.#notLeading();
  }

  /** The log was just made: no reason to wait any longer. */
  standSoon(): void {
    this.#retryAt = 0;
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
      "registrar/log/recovered": this.#leading ? 1 : 0,
      "registrar/log/ensemble_size": replicas,
      // Ours: how many replicas answered the last round that found no quorum; absent while there is one.
      ...(this.#lastUnavailable === undefined
        ? {}
        : { "registrar/log/replicas_reachable": this.#lastUnavailable.reachable }),
    };
  }

  #notLeading(): Leadership {
    return { type: "not-leading", reason: this.#reason };
  }

  #resolve(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    const leadership: Leadership = this.#leading ? { type: "leading" } : this.#notLeading();
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
      newMasterId: crypto.randomUUID() as MasterId,
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
      status = await this.#options.log().status(this.logKnowledge());
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
        note("the membership of the log", { outcome: effect.outcome });
        this.#onChanged(effect.id, effect.outcome);
        return;
      case "leading":
        this.#leading = true;
        this.#options.onLeading(registrar, effect);
        this.#resolve();
        return;
      case "confirmed":
        this.#confirmedAt = Math.max(this.#confirmedAt, effect.at);
        if (this.#leading) this.#resolve();
        return;
      case "outcome":
        this.#options.onOutcome(registrar, effect);
        return;
      case "not-leading":
        this.#leading = false;
        this.#reason = effect.reason;
        this.#retryAt = effect.retryAt;
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
  async #ask<T>(call: (log: RegistrarCalls) => Promise<T>, onAnswer: (answer: T | Unavailable) => void): Promise<void> {
    this.#asked++;
    const answer = await this.#attempt(call);
    this.#asked--;
    this.#lastUnavailable = isUnavailable(answer) ? answer : undefined;
    onAnswer(answer);
  }

  async #attempt<T>(call: (log: RegistrarCalls) => Promise<T>): Promise<T | Unavailable> {
    try {
      return await call(this.#options.log());
    } catch (error) {
      return { type: "unavailable", reason: String(error), reachable: 0, replicas: 0 };
    }
  }
}

const isUnavailable = (answer: unknown): answer is Unavailable =>
  typeof answer === "object" && answer !== null && "type" in answer && answer.type === "unavailable";
