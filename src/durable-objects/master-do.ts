// A master candidate. It adapts: calls and batches to the cores, the cores' effects to tables, streams and gateways. Before it
// answers, offers or orders anything, a quorum has confirmed its ballot within the last 5 s (candidate.ts).
import { DurableObject } from "cloudflare:workers";
import { backoffMs } from "#base/backoff.ts";
import { toBase64 } from "#base/base64.ts";
import { millis, type Millis } from "#base/time.ts";
import { present, unreachable } from "#base/assert.ts";
import type { AgentId, Epoch, MasterId, OperationUuid, Principal, StreamId } from "#protocol/ids.ts";
import type { BatchAnswer, CheckIn, CheckInAnswer, GatewayBatch, GatewayItem, Located } from "#protocol/gateway.ts";
import {
  EPOCH_HEADER,
  LEADER_HEADER,
  type KnownLeader,
  type Leadership,
  type NotLeading,
} from "#protocol/leadership.ts";
import { JSON_TYPE, type MediaType } from "#protocol/media-type.ts";
import type { MasterInfo } from "#protocol/scheduler.ts";
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import type { Ballot } from "../log/ballot.ts";
import type { BootstrapAnswer, MembershipChange, RegistrarCalls, StatusCall } from "../log/calls.ts";
import type { ChangeOutcome } from "../log/coordinator.ts";
import type { ClusterId } from "../log/entry.ts";
import { onAgentMessage } from "../master/agents.ts";
import { excuseAgents, onGatewayHeard, onGatewayLive, onSocketClosed } from "../master/absence.ts";
import { adoptRegistry } from "../master/registration.ts";
import { onNotCommitted, onOutcome } from "../master/outcomes.ts";
import { markAgentGone, updateQuota, updateWeights } from "../master/operator.ts";
import { onCall, type CallRequest } from "../master/calls.ts";
import { nextDeadline, tick } from "../master/deadlines.ts";
import { excuseAbsence, noteDeadlines } from "../master/frameworks.ts";
import { masterMetrics } from "../master/metrics.ts";
import { followShares, rebuildAllocation } from "../master/allocation.ts";
import { makeOffers, nextOfferWake } from "../master/offers.ts";
import { disconnectStream, subscribe, type SubscribeRequest } from "../master/subscriptions.ts";
import { enter, leave, newThrottle, type Throttle } from "../master/throttle.ts";
import type { QuotaChange } from "../master/quota.ts";
import { quotaView, roleInfos, rolesView, weightsView } from "../master/role-views.ts";
import { newMaster, type CallAnswer, type Ids, type Master, type MasterEffect } from "../master/state.ts";
import type { Pieces } from "../master/json-pieces.ts";
import { tasksPieces, type TasksQuery } from "../master/task-views.ts";
import {
  agentsPieces,
  frameworksPieces,
  leaderAddress,
  registryPieces,
  slavesPieces,
  statePieces,
} from "../master/views.ts";
import { isOverloaded } from "../master/leader-finder.ts";
import { Slices } from "../master/slices.ts";
import type { SignOfLife } from "../master/standing.ts";
import type { RegistryCalls } from "../registrar/calls.ts";
import type { Weight } from "../registrar/registry.ts";
import type { Registrar, RegistrarEffect } from "../registrar/registrar.ts";
import { ringBy } from "./alarm.ts";
import { Candidate } from "./candidate.ts";
import { ownColo } from "./colo.ts";
import type { Env } from "./env.ts";
import { GatewayOutbox } from "./gateway-outbox.ts";
import { MasterTables } from "./master-tables.ts";
import { note } from "./note.ts";
import { gatewayStub, masterHint, masterStub } from "./peers.ts";
import { settingsOf, type Settings } from "./settings.ts";
import { Streams } from "./streams.ts";
import { VIEW_STREAMS_MAX, ViewStreams } from "./view-streams.ts";
import { HEARTBEAT_INTERVAL_SECONDS } from "#protocol/scheduler.ts";

/** Without a quorum the deadlines are looked at again after this long, ms. */
const NO_QUORUM_ALARM_MS = 5_000;
/** Pause before a gateway is told again. */
const ANNOUNCE_BACKOFF = { firstMs: 500, maxMs: 15_000 };
/** The longest that a timer takes. */
const TIMER_MS_MAX = 2 ** 31 - 1;
/** Time that another candidate, which is believed to lead, has to answer, ms. */
const LEADER_ANSWER_MS = 3_000;
/** Pause before a quorum is asked for the sake of offers, ms. */
const UNCONFIRMED_OFFERS_MS = 1_000;
/** An alarm is moved only when a deadline is sooner by more than this, ms: no row for each launch. */
const ALARM_SLACK_MS = 1_000;

/** Nobody is left to hear it. */
const OUTLIVED: NotLeading = { type: "not-leading", reason: "a later incarnation of this gateway was heard" };

export type View =
  | { readonly type: "state" }
  | { readonly type: "slaves"; readonly slaveId: string | undefined }
  | { readonly type: "frameworks"; readonly frameworkId: string | undefined }
  | ({ readonly type: "tasks" } & TasksQuery)
  | { readonly type: "registry" }
  | { readonly type: "agents" }
  | { readonly type: "quota" }
  | { readonly type: "weights" }
  | { readonly type: "roles" }
  /** As GET_ROLES has them. */
  | { readonly type: "role-infos" }
  | { readonly type: "leader" };
export type ViewAnswer = { readonly status: 200; readonly json: string } | NotLeading;
/** A long view comes as a stream of its text. */
export type SlicedAnswer =
  | ViewAnswer
  | { readonly status: 200; readonly stream: ReadableStream }
  | { readonly type: "busy"; readonly reason: string };
/** `status` and `text` are what a Worker of the release before looks at. */
type CallRefusal = NotLeading & { readonly status: 503; readonly text: string };

/** How a candidate stands, for operators. */
export interface CandidateStatus {
  readonly leadership: Leadership;
  /** Since when it leads. */
  readonly electedAt?: Millis;
  readonly ballot?: Ballot;
  /** When a quorum last confirmed that ballot. */
  readonly confirmedAt?: Millis;
  /** Where it was wished to be, and the data centre that it runs in, if that could be found out. */
  readonly hint?: string;
  readonly colo?: string;
}

/** As it comes to {@link MasterDO.fetch}. */
export interface Subscribe extends SubscribeRequest {
  /** The form of the events. */
  readonly contentType: MediaType;
  /** Where the client reached the plane, `host:port`: what MasterInfo shows unless ADVERTISE says otherwise. */
  readonly reachedAt: string;
}
/** What a Worker of the release before does not say. */
const UNSAID = { contentType: JSON_TYPE, suppressedRoles: [] } as const;

const ids: Ids = {
  uuid: () => crypto.randomUUID(),
  operationUuid: () => toBase64(crypto.getRandomValues(new Uint8Array(16))) as OperationUuid,
};
const random = { next: () => Math.random() };
const now = (): Millis => millis(Date.now());

export class MasterDO extends DurableObject<Env> {
  readonly #name: string;
  readonly #settings: Settings;
  readonly #tables: MasterTables;
  readonly #startedAt = now();
  readonly #streams = new Streams((streamId, reason) => this.#onStreamGone(streamId, reason));
  readonly #views = new ViewStreams((reason) => this.#note("a view was cut", { reason }));
  readonly #throttle: Throttle;
  readonly #outbox = new GatewayOutbox(
    (gateway, items) => gatewayStub(this.env, gateway).deliver(items),
    (gateway, socketIds, reason) => this.#onUndelivered(gateway, socketIds, reason),
  );
  readonly #candidate: Candidate;
  #master: Master | undefined;
  /** This instance has led and then found no quorum: deadlines did not run fairly. */
  #wasAway = false;
  #settling = false;
  readonly #announcing = new Set<string>();
  /**
   * Asked for while an announcement was under way: that one may have looked at the gateway's sockets before what made the next one
   * necessary, and would leave a socket open that the books do not have, for ever.
   */
  readonly #announceAgain = new Set<string>();
  /** Who waits for the registry's decision, by request. */
  readonly #asked = new Map<number, (answer: CallAnswer) => void>();
  #nextRequest = 1;
  #heartbeat: ReturnType<typeof setInterval> | undefined;
  #offersTimer: { readonly at: Millis; readonly handle: ReturnType<typeof setTimeout> } | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#name = present(ctx.id.name, "the candidate's name");
    this.#settings = settingsOf(env);
    this.#throttle = newThrottle(this.#settings.master.callLimits);
    this.#tables = new MasterTables(ctx.storage);
    this.#candidate = new Candidate({
      name: this.#name,
      candidates: this.#settings.candidates,
      leaderSilenceMs: this.#settings.leaderSilenceMs,
      tables: this.#tables,
      log: () => this.#log(),
      note: (message, details) => this.#note(message, details),
      callLeader: (candidate) => this.#callLeader(candidate),
      onFollowing: () => this.#forget(),
      onLeading: (registrar, effect) => this.#onLeading(registrar, effect),
      onNotLeading: (effect) => this.#onNotLeading(effect),
      onOutcome: (_registrar, { id, outcome }) => {
        if (this.#master !== undefined) onOutcome(this.#master, id, outcome, ids, now());
      },
      afterTurn: () => {
        if (this.#master !== undefined) this.#settle(this.#master);
      },
      onFailure: (error) => this.#restart("a turn of the Registrar failed", error),
    });
  }

  #log(): RegistrarCalls & RegistryCalls {
    return (this.ctx.exports as unknown as { RegistrarWorker: RegistrarCalls & RegistryCalls }).RegistrarWorker;
  }

  #note(message: string, details: Readonly<Record<string, unknown>>): void {
    note(message, { master: this.#name, ...details });
  }

  // --- leading ---------------------------------------------------------------------------------------------------------

  #onLeading(registrar: Registrar, effect: Extract<RegistrarEffect, { type: "leading" }>): void {
    const { epoch, fresh, masterId } = effect;
    const wasAway = this.#wasAway;
    this.#wasAway = false;
    if (fresh) {
      this.#tables.beginEpoch({ epoch, masterId, electedAt: now() });
      this.#streams.closeAll();
    }
    if (fresh || this.#master === undefined) {
      const electedAt = this.#tables.meta("epoch")?.electedAt ?? now();
      const info = masterInfo(this.env.ADVERTISE, masterId);
      const { registry, options } = registrar;
      const { clusterId } = options;
      const settings = this.#settings.master;
      const startedAt = this.#startedAt;
      const store = this.#tables.tasks;
      this.#master = newMaster({
        masterId,
        epoch,
        clusterId,
        settings,
        registry,
        info,
        store,
        random,
        startedAt,
        electedAt,
      });
      if (fresh) {
        this.#master.recoveredOf = registry.admitted.size;
        this.#master.marked.recovery = true;
      }
      this.#tables.load(this.#master);
      rebuildAllocation(this.#master);
    } else followShares(this.#master);
    excuseAbsence(this.#master, now(), { wasAway });
    excuseAgents(this.#master, now(), { wasAway });
    adoptRegistry(this.#master, now());
    noteDeadlines(this.#master);
    this.#note("leading", { epoch, fresh, agents: this.#master.agents.size });
    for (let i = 1; i <= this.#settings.gateways; i++) this.ctx.waitUntil(this.#announce(`gateway-${i}`));
    if (fresh) this.ctx.waitUntil(this.#tellCandidates({ candidate: this.#name, epoch }));
  }

  /** The one that led until now closes its streams at once; without this word it would find out at its next call. */
  async #tellCandidates(leader: KnownLeader): Promise<void> {
    const others = this.#settings.candidates.filter((name) => name !== this.#name);
    await Promise.allSettled(others.map((name) => masterStub(this.env, name).hearOf(leader)));
  }

  /** Another leads under a newer epoch: the books here are of the past, and nothing is shown or done from them again. */
  #forget(): void {
    this.#streams.closeAll();
    this.#master = undefined;
    for (const resolve of this.#asked.values()) {
      resolve({ status: 503, text: "another candidate leads now; whether it was done, its registry tells" });
    }
    this.#asked.clear();
  }

  async #callLeader(candidate: string): Promise<SignOfLife> {
    const silent = scheduler
      .wait(LEADER_ANSWER_MS)
      .then((): SignOfLife => ({ type: "silent", reason: `no answer within ${LEADER_ANSWER_MS / 1000} s` }));
    const answered = masterStub(this.env, candidate)
      .defend()
      .then(
        (leadership): SignOfLife =>
          leadership.type === "leading"
            ? { type: "leads" }
            : { type: "does-not-lead", leader: structuredClone(leadership.leader) },
        (error: unknown): SignOfLife =>
          isOverloaded(error) ? { type: "overloaded" } : { type: "silent", reason: String(error) },
      );
    return Promise.race([answered, silent]);
  }

  #onNotLeading({ reason, fenced, ids: operations, retryAt }: Extract<RegistrarEffect, { type: "not-leading" }>): void {
    this.#note("not leading", { reason, fenced, retryInMs: retryAt - Date.now() });
    this.#streams.closeAll();
    if (this.#master === undefined) return;
    this.#wasAway = true;
    excuseAbsence(this.#master, now(), { wasAway: true });
    onNotCommitted(this.#master, operations, reason);
  }

  /** The registry stays as it is. Whoever leads next, also this candidate, begins a new epoch and waits for the agents again. */
  #stopLeading(reason: string): void {
    this.#note("stopped leading", { reason });
    this.#tables.endEpoch();
    void this.ctx.storage.sync().then(() => this.ctx.abort(reason));
  }

  /** What throws half-way has changed the books half-way. */
  #try<T>(turn: () => T): T {
    try {
      return turn();
    } catch (error) {
      this.#restart("a turn of the master failed", error);
      throw error;
    }
  }

  /** A half-done turn must not be built upon: the next instance begins with what is stored. */
  #restart(what: string, error: unknown): void {
    this.#note(what, { error: String(error) });
    this.ctx.abort(`${what}: ${String(error)}`);
  }

  /** Tells a gateway the epoch and what the books have of it, until it has answered; then forgets sockets that are gone. */
  async #announce(gateway: string): Promise<void> {
    if (this.#announcing.has(gateway)) {
      this.#announceAgain.add(gateway);
      return;
    }
    this.#announcing.add(gateway);
    try {
      for (let attempt = 0; this.#candidate.leading && this.#master !== undefined; attempt++) {
        const master = this.#master;
        const known = [...master.agents.values()].flatMap(({ connection }) =>
          connection?.gateway === gateway ? [connection.socketId] : [],
        );
        try {
          const announcement = { epoch: master.epoch, candidate: this.#name, known };
          const { live, newer } = await gatewayStub(this.env, gateway).announce(announcement);
          if (master !== this.#master) continue;
          if (newer !== undefined) {
            // Whoever told the gateway is right, or we are: a quorum knows. If it is us, the gateway is told again.
            if ((await this.#candidate.hear(newer.epoch)).type === "not-leading") return;
            throw new Error(`it has heard of epoch ${newer.epoch}`);
          }
          onGatewayHeard(master, gateway, now());
          const alive = new Set(live);
          const gone = known.filter((socketId) => !alive.has(socketId));
          for (const socketId of gone) onSocketClosed(master, { gateway, socketId }, now(), { type: "gateway" });
          this.#settle(master);
          return;
        } catch (error) {
          this.#note("a gateway did not hear the leader", { gateway, attempt, error: String(error) });
          await scheduler.wait(backoffMs(random, attempt, ANNOUNCE_BACKOFF));
          // Between attempts somebody else may have begun to lead.
          await this.#candidate.lead();
        }
      }
    } finally {
      this.#announcing.delete(gateway);
      if (this.#announceAgain.delete(gateway)) this.ctx.waitUntil(this.#announce(gateway));
    }
  }

  // --- turns -----------------------------------------------------------------------------------------------------------

  /** After every change: offers that are due, then the rows, then what leaves, in order. */
  #settle(master: Master): void {
    if (master !== this.#master || this.#settling) return;
    this.#settling = true;
    try {
      do {
        // Otherwise the timer asks a quorum first.
        if (this.#candidate.isConfirmed) makeOffers(master, now());
        this.#tables.save(master);
        // An effect may cause more: they come after it, and after their own rows.
        for (const effect of master.effects.splice(0)) this.#doEffect(effect);
      } while (master.effects.length > 0);
    } catch (error) {
      this.#restart("a turn of the master failed", error);
      throw error;
    } finally {
      this.#settling = false;
    }
    this.ctx.waitUntil(this.#outbox.flush());
    this.#setTimers(master);
  }

  #doEffect(effect: MasterEffect): void {
    switch (effect.type) {
      case "send":
        this.#outbox.push(effect.to.gateway, {
          type: "message",
          socketId: effect.to.socketId,
          message: effect.message,
        });
        return;
      case "close-socket":
        this.#outbox.push(effect.to.gateway, { type: "close", socketId: effect.to.socketId, reason: effect.reason });
        return;
      case "event":
        this.#streams.send(effect.streamId, effect.event);
        return;
      case "events":
        this.#streams.sendEach(effect.streamId, effect.events, effect.holds);
        return;
      case "close-stream":
        this.#streams.close(effect.streamId);
        return;
      case "registry":
        if (this.#candidate.leading) this.#candidate.apply(effect.id, effect.operation, effect);
        else if (this.#master !== undefined) onNotCommitted(this.#master, [effect.id], this.#candidate.reason);
        return;
      case "answer":
        this.#asked.get(effect.requestId)?.(effect.answer);
        this.#asked.delete(effect.requestId);
        return;
      case "ask-gateway":
        this.ctx.waitUntil(this.#announce(effect.gateway));
        return;
      case "stop-leading":
        this.#stopLeading(effect.reason);
        return;
    }
  }

  /** What a gateway did not take: its agents register again, and their reports tell what is missing. */
  #onUndelivered(gateway: string, socketIds: readonly string[], reason: string): void {
    this.#note("a gateway did not take what was sent", { gateway, sockets: socketIds.length, reason });
    const master = this.#master;
    if (master === undefined) return;
    for (const socketId of socketIds) onSocketClosed(master, { gateway, socketId }, now(), { type: "gateway" });
    this.#settle(master);
    // The sockets may be open all the same: the gateway closes those that the books no longer have.
    this.ctx.waitUntil(this.#announce(gateway));
  }

  #setTimers(master: Master): void {
    const deadline = nextDeadline(master, now());
    if (deadline !== undefined) this.ctx.waitUntil(ringBy(this.ctx.storage, deadline, ALARM_SLACK_MS));
    const offersAt = this.#offersAt(master);
    if (this.#offersTimer?.at !== offersAt) {
      if (this.#offersTimer !== undefined) clearTimeout(this.#offersTimer.handle);
      this.#offersTimer = undefined;
      if (offersAt !== undefined) {
        const delayMs = Math.min(Math.max(0, Math.ceil(offersAt - Date.now())), TIMER_MS_MAX);
        const onDue = (): void => {
          this.#offersTimer = undefined;
          void this.#tick();
        };
        this.#offersTimer = { at: offersAt, handle: setTimeout(onDue, delayMs) };
      }
    }
    if (this.#streams.size > 0)
      this.#heartbeat ??= setInterval(() => void this.#beat(), HEARTBEAT_INTERVAL_SECONDS * 1000);
    else {
      if (this.#heartbeat !== undefined) clearInterval(this.#heartbeat);
      this.#heartbeat = undefined;
    }
  }

  /** What is due while no quorum has confirmed us lately is looked at a moment later: the timer asks one. */
  #offersAt(master: Master): Millis | undefined {
    const at = this.#streams.size === 0 ? undefined : nextOfferWake(master, now());
    if (at === undefined || at > now() || this.#candidate.isConfirmed) return at;
    return this.#offersTimer?.at ?? millis(Date.now() + UNCONFIRMED_OFFERS_MS);
  }

  async #tick(): Promise<Leadership> {
    const leadership = await this.#candidate.lead(Date.now() - 1);
    if (leadership.type !== "leading" || this.#master === undefined) return leadership;
    const master = this.#master;
    this.#try(() => tick(master, now()));
    this.#settle(this.#master);
    return leadership;
  }

  override async alarm(): Promise<void> {
    const deadline = this.#master === undefined ? undefined : nextDeadline(this.#master, now());
    // Set for what has been put off since: no quorum needs to be asked for that.
    if (deadline !== undefined && deadline > Date.now()) return ringBy(this.ctx.storage, deadline);
    const leadership = await this.#tick();
    // Without a quorum nothing was done: look again, or the deadlines would be forgotten. Another leader has its own.
    if (leadership.type === "not-leading" && leadership.leader === undefined)
      await ringBy(this.ctx.storage, Math.max(this.#candidate.retryAt, Date.now() + NO_QUORUM_ALARM_MS));
  }

  /** A leader that cannot confirm itself closes its streams instead: see #onNotLeading. */
  async #beat(): Promise<void> {
    const { type } = await this.#candidate.lead();
    if (type !== "leading") return;
    this.#streams.heartbeat();
    if (this.#master !== undefined) this.#settle(this.#master);
  }

  #onStreamGone(streamId: StreamId, reason: string): void {
    this.#note("a scheduler's stream ended", { streamId, reason });
    this.ctx.waitUntil(this.#disconnect(streamId));
  }

  /** A stream that ends may end tasks: a quorum confirms us after it, or somebody else decides. */
  async #disconnect(streamId: StreamId): Promise<void> {
    const { type } = await this.#candidate.lead(Date.now() - 1);
    if (type !== "leading" || this.#master === undefined) return;
    disconnectStream(this.#master, streamId, now());
    this.#settle(this.#master);
  }

  // --- what others call ------------------------------------------------------------------------------------------------

  async leadership(): Promise<Leadership> {
    return this.#candidate.lead();
  }

  /** A Worker or gateway cannot reach the leader of this epoch: may this candidate take its place? Idempotent. */
  async stand(insteadOf: Epoch): Promise<Leadership> {
    return this.#candidate.stand(insteadOf);
  }

  /** Another candidate was asked to take our place: whatever pause there was before standing again, now is the time. */
  async defend(): Promise<Leadership> {
    this.#candidate.standSoon();
    return this.#candidate.lead();
  }

  /** An operator's word: this candidate elects even though another one leads. Answers when it leads, or cannot. */
  async failover(): Promise<Leadership> {
    return this.#candidate.elect();
  }

  /** Another candidate says that it leads. It is not believed but a reason to ask the quorum at once. */
  async hearOf({ epoch }: KnownLeader): Promise<void> {
    await this.#candidate.hear(epoch);
  }

  async status(): Promise<CandidateStatus> {
    // Asked of a quorum now: of two that were deposed one after the other, none shall be shown as leading.
    const leadership = await this.#candidate.lead(Date.now() - 1);
    const { ballot, confirmedAt } = this.#candidate;
    const hint = masterHint(this.env, this.#name);
    return {
      leadership,
      ...(leadership.type === "leading" ? { electedAt: this.#tables.meta("epoch")?.electedAt } : {}),
      ballot,
      confirmedAt: confirmedAt === 0 ? undefined : millis(confirmedAt),
      hint,
      colo: hint === undefined ? undefined : await ownColo().catch(() => undefined),
    };
  }

  /** A gateway's word once a minute: it learns the epoch, and whether the books have sockets that it no longer has. */
  async checkIn({ gateway, incarnation, epochKnown, sockets }: CheckIn): Promise<CheckInAnswer> {
    if (!this.#candidate.leading) {
      // Asleep: all of the rows would be read for a question that the log's tail answers.
      const owner = await this.#candidate.owner();
      if (owner?.candidate === this.#name && owner.epoch >= epochKnown)
        return { type: "leading", ...owner, tellLive: false };
    }
    const leadership = await this.#candidate.hear(epochKnown);
    const master = this.#master;
    if (leadership.type === "not-leading" || master === undefined) return this.#notLeading(leadership);
    if (!onGatewayHeard(master, gateway, now(), incarnation)) return OUTLIVED;
    const booked = master.gateways.get(gateway)?.sockets ?? 0;
    // What the books gave up while the gateway was silent is open all the same: those agents would stay lost, though they are there.
    if (booked < sockets) this.ctx.waitUntil(this.#announce(gateway));
    return { ...leadership, tellLive: booked > sockets };
  }

  #notLeading(leadership: Leadership): NotLeading {
    return leadership.type === "not-leading" ? leadership : { type: "not-leading", reason: this.#candidate.reason };
  }

  async initialize(clusterId: ClusterId): Promise<BootstrapAnswer> {
    const known = this.#tables.meta("clusterId");
    if (known !== undefined && known !== clusterId) {
      return { type: "refused-bootstrap", reason: `this plane already has the cluster ${known}` };
    }
    // The last answer of a bootstrap may have been lost: whoever led had a log.
    const isOld = this.#tables.meta("bootstrapped") === true || this.#tables.meta("epoch") !== undefined;
    if (isOld) return this.#initializedBefore(clusterId);
    const answer = await this.#log().bootstrap({ clusterId });
    if (answer.type === "bootstrapped") {
      this.#tables.setMeta("clusterId", clusterId);
      this.#tables.setMeta("bootstrapped", true);
      this.#candidate.standSoon();
    }
    // A copy: what a call returned carries a disposer, and handing that on would keep this object from being evicted.
    return structuredClone(answer);
  }

  /** A repetition changes nothing, above all when every replica says that it is empty: that is a loss, and no new log hides it. */
  async #initializedBefore(clusterId: ClusterId): Promise<BootstrapAnswer> {
    const found = await this.#log().status(this.#candidate.logKnowledge());
    if (found.clusterId === clusterId && found.electorate !== undefined) {
      return { type: "bootstrapped", membership: structuredClone(found.electorate.membership) };
    }
    const reason = `cluster ${clusterId} was initialised before, and no quorum of its replicas answers that holds its log: some are away, their storage is lost, or this is another account or namespace. See 'mesoflare log status'; nothing makes a new cluster in its place`;
    return { type: "refused-bootstrap", reason };
  }

  /** For whoever asks the replicas past the master: names that only the leader knows. */
  async logKnowledge(): Promise<StatusCall> {
    return this.#candidate.logKnowledge();
  }

  async changeMembership(change: MembershipChange): Promise<ChangeOutcome | NotLeading> {
    const leadership = await this.#candidate.lead();
    if (leadership.type === "not-leading") return leadership;
    return structuredClone(await this.#candidate.changeMembership(change));
  }

  async fromGateway(batch: GatewayBatch): Promise<BatchAnswer> {
    const leadership = await this.#candidate.hear(highestEpoch(batch));
    const master = this.#master;
    if (master !== undefined) master.counters["master/messages_authenticate"] += batch.authentications;
    if (leadership.type === "not-leading" || master === undefined) {
      if (master !== undefined) master.counters["master/dropped_messages"] += batch.items.length;
      return this.#notLeading(leadership);
    }
    if (!onGatewayHeard(master, batch.gateway, now(), batch.incarnation)) return OUTLIVED;
    if (batch.live !== undefined) onGatewayLive(master, batch.gateway, batch.live, now());
    this.#try(() => {
      for (const item of batch.items) this.#onItem(master, batch.gateway, item);
    });
    this.#settle(master);
    return { type: "taken", epoch: master.epoch };
  }

  #onItem(master: Master, gateway: string, item: GatewayItem): void {
    const from = { gateway, socketId: item.socketId };
    if (item.type === "closed") {
      onSocketClosed(master, from, now(), { type: "socket", silentSince: item.silentSince });
      return;
    }
    if (item.epochSeen > master.epoch) {
      const reason = `the agent has obeyed epoch ${item.epochSeen}, this plane is at ${master.epoch}: its state is older than the agent's`;
      this.#note("an agent from a later epoch", { hostKey: item.hostKey, reason });
      master.effects.push({ type: "send", to: from, message: { type: "unavailable", reason } });
      return;
    }
    const { hostKey, principal, message } = item;
    onAgentMessage(master, { from, hostKey, principal }, message, ids, now());
  }

  async call(request: CallRequest): Promise<CallAnswer | CallRefusal> {
    const refusal = await this.#turnOf(request.principal ?? "");
    return refusal ?? this.#answer((master, requestId) => onCall(master, request, requestId, ids, now()));
  }

  /** Waits until it is this principal's turn [M63]. */
  async #turnOf(principal: string): Promise<CallAnswer | undefined> {
    const turn = enter(this.#throttle, principal, now());
    if (turn.type === "now") return undefined;
    if (turn.type === "full") {
      const text = `${turn.capacity} calls of this principal wait already: try again later`;
      return { status: 429, text };
    }
    await scheduler.wait(Math.max(0, turn.until - Date.now()));
    leave(this.#throttle, turn.lane);
    return undefined;
  }

  markAgentGone(agentId: AgentId, by: Principal | "operator"): Promise<CallAnswer | CallRefusal> {
    return this.#answer((master, requestId) => markAgentGone(master, agentId, { by, requestId }));
  }

  updateQuota(change: QuotaChange, by: Principal): Promise<CallAnswer | CallRefusal> {
    return this.#answer((master, requestId) => updateQuota(master, change, { by, requestId }));
  }

  updateWeights(infos: readonly Weight[], by: Principal): Promise<CallAnswer | CallRefusal> {
    return this.#answer((master, requestId) => updateWeights(master, infos, { by, requestId }));
  }

  /** Does what was asked, and answers at once or when the registry has decided. */
  async #answer(ask: (master: Master, requestId: number) => CallAnswer | undefined): Promise<CallAnswer | CallRefusal> {
    const leadership = await this.#candidate.lead();
    const master = this.#master;
    if (leadership.type === "not-leading" || master === undefined) {
      const refusal = this.#notLeading(leadership);
      return { ...refusal, status: 503, text: refusal.reason };
    }
    const requestId = this.#nextRequest++;
    const { promise, resolve } = Promise.withResolvers<CallAnswer>();
    this.#asked.set(requestId, resolve);
    const answer = this.#try(() => ask(master, requestId));
    if (answer !== undefined) {
      this.#asked.delete(requestId);
      resolve(answer);
    }
    this.#settle(master);
    return promise;
  }

  /** SUBSCRIBE comes as a request, because its answer is a stream. The Worker has checked everything but the framework. */
  override async fetch(request: Request): Promise<Response> {
    const subscription: Subscribe = { ...UNSAID, ...(await request.json<Subscribe>()) };
    const throttled = await this.#turnOf(subscription.principal);
    if (throttled !== undefined) return new Response(throttled.text, { status: throttled.status });
    const leadership = await this.#candidate.lead();
    const master = this.#master;
    if (leadership.type === "not-leading" || master === undefined) {
      const { reason, leader } = this.#notLeading(leadership);
      const headers: Record<string, string> =
        leader === undefined ? {} : { [LEADER_HEADER]: leader.candidate, [EPOCH_HEADER]: String(leader.epoch) };
      return new Response(reason, { status: 503, headers });
    }
    this.#showAddress(master, subscription.reachedAt);
    const { streamId, contentType } = subscription;
    const readable = this.#streams.open(streamId, contentType);
    this.#try(() => subscribe(master, subscription, now()));
    this.#settle(master);
    return new Response(readable, {
      headers: {
        "content-type": contentType,
        "mesos-stream-id": streamId,
        // A compressor in front of us would hold records back: the edge obeys the first, local workerd the second.
        "cache-control": "no-transform",
        "content-encoding": "identity",
      },
    });
  }

  #showAddress(master: Master, reachedAt: string): void {
    if ((this.env.ADVERTISE ?? "") === "") master.info = masterInfo(reachedAt, master.masterId);
  }

  /** A Worker of the release before takes one text only; whoever takes `slices` gets long views as streams [M54]. */
  async view(view: View, reachedAt: string): Promise<ViewAnswer>;
  async view(view: View, reachedAt: string, takes: { readonly slices: true }): Promise<SlicedAnswer>;
  async view(view: View, reachedAt: string, takes?: { readonly slices: true }): Promise<SlicedAnswer> {
    const leadership = await this.#candidate.lead();
    const master = this.#master;
    if (leadership.type === "not-leading" || master === undefined) return this.#notLeading(leadership);
    this.#showAddress(master, reachedAt);
    if (takes === undefined) return { status: 200, json: [...piecesOf(master, view)].join("") };
    const slices = new Slices(piecesOf(master, view));
    const first = slices.next();
    if (first.isLast) return { status: 200, json: first.text };
    if (this.#views.isFull) return { type: "busy", reason: `${VIEW_STREAMS_MAX} long views are being read already` };
    const { readable, done } = this.#views.open(first, slices, () => this.#refusal(master));
    this.ctx.waitUntil(done);
    return { status: 200, stream: readable };
  }

  /** [M48] What is left of a view is shown by the master that it is of, and only while that leads. */
  async #refusal(master: Master): Promise<string | undefined> {
    const leadership = await this.#candidate.lead();
    if (leadership.type === "leading" && master === this.#master) return undefined;
    return `not leading any more: ${this.#notLeading(leadership).reason}`;
  }

  /** Answers also without a quorum: that is when it is needed most. */
  async metrics(): Promise<string> {
    await this.#candidate.lead();
    const at = now();
    const metrics = {
      ...masterMetrics(this.#master, { startedAt: this.#startedAt, leading: this.#candidate.leading }, at),
      ...this.#candidate.metrics(Number(this.env.REPLICAS ?? "3"), at),
    };
    return JSON.stringify(Object.fromEntries(Object.entries(metrics).toSorted(([a], [b]) => (a < b ? -1 : 1))));
  }

  async locate(agentId: AgentId): Promise<Located | NotLeading> {
    const leadership = await this.#candidate.lead();
    if (leadership.type === "not-leading") return leadership;
    const agent = this.#master?.agents.get(agentId);
    if (agent === undefined) return { type: "absent", status: 404, reason: `no agent ${agentId}` };
    if (agent.connection === undefined)
      return { type: "absent", status: 503, reason: `agent ${agentId} is not connected` };
    return { type: "located", ...agent.connection, agentId };
  }
}

function piecesOf(master: Master, view: View): Pieces {
  switch (view.type) {
    case "state":
      return statePieces(master);
    case "slaves":
      return slavesPieces(master, view);
    case "frameworks":
      return frameworksPieces(master, view);
    case "tasks":
      return tasksPieces(master, view);
    case "registry":
      return registryPieces(master);
    case "agents":
      return agentsPieces(master);
    case "leader":
      return [JSON.stringify(leaderAddress(master))];
    case "quota":
      return [JSON.stringify(quotaView(master))];
    case "weights":
      return [JSON.stringify(weightsView(master))];
    case "roles":
      return [JSON.stringify(rolesView(master))];
    case "role-infos":
      return [JSON.stringify(roleInfos(master))];
    default:
      return unreachable(view);
  }
}

/** The highest epoch that a gateway, or an agent behind it, has heard of. */
function highestEpoch({ epochKnown, items }: GatewayBatch): Epoch {
  let highest = epochKnown ?? (0 as Epoch);
  for (const item of items) if (item.type === "message" && item.epochSeen > highest) highest = item.epochSeen;
  return highest;
}

/** Mesos' own port, which a plane on loopback listens on. */
const DEFAULT_ADDRESS = "127.0.0.1:5050";

function masterInfo(address: string | undefined, masterId: MasterId): MasterInfo {
  const [hostname = "", portText = "80"] = (address === undefined || address === "" ? DEFAULT_ADDRESS : address).split(
    ":",
  );
  const port = Number(portText);
  const octets = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(hostname)?.slice(1).map(Number) ?? [0, 0, 0, 0];
  const ip = octets.reduceRight((value, octet) => value * 256 + octet, 0);
  return {
    id: masterId,
    ip,
    port,
    pid: `master@${hostname}:${port}`,
    hostname,
    version: MESOFLARE_VERSION,
    address: { hostname, ip: hostname, port },
    capabilities: [],
  };
}
