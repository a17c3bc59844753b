// SUBSCRIBE and UPDATE_FRAMEWORK: who a framework is and what it wants. The decision table is tasks-offers-and-operators §1.2.
//
// A framework's id, and to whom it belongs, is in the registry before the framework hears it [M57]: an id that was told is never given
// again, and after a failover nobody else may take it.
import type { Millis } from "#base/time.ts";
import { idProblem, type FrameworkId, type Principal, type StreamId } from "#protocol/ids.ts";
import type { OfferConstraints } from "#protocol/offer-constraints.ts";
import { DEFAULT_ROLE, roleProblem } from "#protocol/roles.ts";
import { HEARTBEAT_INTERVAL_SECONDS, type FrameworkInfo, type SchedulerEvent } from "#protocol/scheduler.ts";
import type { Outcome } from "#registrar/registrar.ts";
import { frameworkIs, isMultiRole, rolesOf } from "./allocation.ts";
import { constraintsProblem, revive, suppress } from "./allocator/hierarchical.ts";
import { disconnect, failoverMs, newFramework } from "./frameworks.ts";
import { removeOffersTo } from "./offers.ts";
import { detailOf } from "./task-store.ts";
import type { CallAnswer, FrameworkRecord, Master, PendingSubscription } from "./state.ts";
import { askRegistry, forgetWord } from "./effects.ts";

/** Longest `failover_timeout`, s: what Mesos' durations hold, 2^63 ns. */
const FAILOVER_SECONDS_MAX = 9_223_372_036;

export interface Subscription {
  readonly info: FrameworkInfo;
  readonly suppressedRoles: readonly string[];
  readonly offerConstraints: OfferConstraints | undefined;
}

export interface SubscribeRequest extends Subscription {
  readonly principal: Principal;
  readonly streamId: StreamId;
}

/** What comes of it is told on the stream: SUBSCRIBED, or ERROR and its end. It may have to wait for the registry. */
export function subscribe(master: Master, request: SubscribeRequest, now: Millis): void {
  const { streamId, principal } = request;
  const given = request.info.id?.value;
  const id = given === "" ? undefined : given;
  const info: FrameworkInfo = { ...request.info, principal: request.info.principal ?? principal };
  const problem =
    (id === undefined ? undefined : idOrOwnerProblem(master, id, principal)) ??
    subscriptionProblem(master, { ...request, info });
  if (problem !== undefined) return refuse(master, streamId, problem);
  master.counters[id === undefined ? "master/messages_register_framework" : "master/messages_reregister_framework"]++;
  const frameworkId = id ?? freshId(master);
  const subscription = { ...request, info: { ...info, id: { value: frameworkId } } };
  const earlier = master.subscriptions.get(frameworkId);
  if (earlier !== undefined) {
    // Asked twice before the registry has decided: the newer one wins, as always.
    if (earlier.streamId !== undefined) refuse(master, earlier.streamId, "Framework failed over");
    earlier.request = subscription;
    earlier.streamId = streamId;
    return;
  }
  const knows = isRegistered(master, frameworkId, subscription) || (id !== undefined && mayBeOlder(master, id, now));
  if (knows) return connect(master, frameworkId, subscription, streamId, now);
  const pending: PendingSubscription = { type: "framework-registered", frameworkId, request: subscription, streamId };
  master.subscriptions.set(frameworkId, pending);
  askRegistry(master, pending, registration(frameworkId, subscription), { who: principal, why: "SUBSCRIBE" });
}

const timeoutMs = ({ failover_timeout }: FrameworkInfo): number => (failover_timeout ?? 0) * 1000;

const registration = (frameworkId: FrameworkId, { info, principal }: SubscribeRequest) =>
  ({ type: "register-framework", frameworkId, principal, failoverTimeoutMs: timeoutMs(info) }) as const;

function isRegistered({ registry }: Master, id: FrameworkId, { info, principal }: SubscribeRequest): boolean {
  const known = registry.registeredFrameworks.get(id);
  return known?.principal === principal && known.failoverTimeoutMs === timeoutMs(info);
}

/**
 * One of a release that did not register frameworks: the agents say first whose it is [M57]. What none of them names by then belongs to
 * who named it first.
 */
const mayBeOlder = ({ registry, recoveredDeadline }: Master, id: FrameworkId, now: Millis): boolean =>
  !registry.registeredFrameworks.has(id) && now < recoveredDeadline;

/** What the registry should know of a framework that it does not know, or not rightly. */
export function noteRegistration(master: Master, framework: FrameworkRecord): void {
  const { id, info, principal } = framework;
  if (principal === undefined) return;
  const known = master.registry.registeredFrameworks.get(id);
  if (known?.failoverTimeoutMs === timeoutMs(info)) return;
  const asked =
    known === undefined
      ? { who: "master", why: "it was not registered yet" }
      : { who: principal, why: "another failover_timeout" };
  const operation = {
    type: "register-framework",
    frameworkId: id,
    principal,
    failoverTimeoutMs: timeoutMs(info),
  } as const;
  askRegistry(master, { type: "noted" }, operation, asked);
}

/** The registry has decided to whom the id belongs. */
export function onRegistered(master: Master, pending: PendingSubscription, outcome: Outcome, now: Millis): void {
  const { frameworkId, request, streamId } = pending;
  master.subscriptions.delete(frameworkId);
  if (outcome.type === "refused") {
    const message = REFUSALS[outcome.reason];
    if (streamId === undefined) return;
    // Whatever else it was passes: the framework subscribes again. An ERROR would end it.
    if (message === undefined) master.effects.push({ type: "close-stream", streamId });
    else refuse(master, streamId, message);
    return;
  }
  // Decided otherwise while it waited: removed, or an agent knows another owner.
  const problem = idOrOwnerProblem(master, frameworkId, request.principal);
  if (problem !== undefined) {
    if (streamId !== undefined) refuse(master, streamId, problem);
    return;
  }
  if (streamId !== undefined) return connect(master, frameworkId, request, streamId, now);
  if (master.frameworks.has(frameworkId)) return;
  // Nobody was told this id.
  const why = { who: "master", why: "its stream ended before it was told its id" };
  askRegistry(master, { type: "noted" }, { type: "remove-framework", frameworkId }, why);
}

const OF_ANOTHER = "The principal differs from that of the earlier subscription";
const REMOVED = "Framework has been removed";
const REFUSALS: Partial<Record<string, string>> = {
  "framework-removed": REMOVED,
  "framework-of-another": OF_ANOTHER,
  "registry-full": "Too many frameworks are registered: tear down those that are not needed any more",
};

/** The registry was not asked, or it is not known whether it has it: the client comes again. */
export function onNotRegistered(master: Master, pending: PendingSubscription): void {
  master.subscriptions.delete(pending.frameworkId);
  if (pending.streamId !== undefined) master.effects.push({ type: "close-stream", streamId: pending.streamId });
}

/** The stream is gone. Tasks stay until `failover_timeout` has passed; with the default of 0 they end at once, as in Mesos. */
export function disconnectStream(master: Master, streamId: StreamId, now: Millis): void {
  for (const pending of master.subscriptions.values()) {
    if (pending.streamId !== streamId) continue;
    pending.streamId = undefined;
    return;
  }
  for (const framework of master.frameworks.values()) {
    if (framework.status.state !== "connected" || framework.status.streamId !== streamId) continue;
    disconnect(master, framework, failoverMs(framework), now);
    return;
  }
}

function refuse(master: Master, streamId: StreamId, message: string): void {
  master.effects.push({ type: "event", streamId, event: { type: "ERROR", error: { message } } });
  master.effects.push({ type: "close-stream", streamId });
}

/** Why somebody may not be this framework. Nothing changes by asking (T17). */
function idOrOwnerProblem(master: Master, id: FrameworkId, principal: Principal): string | undefined {
  const problem = idProblem(id);
  if (problem !== undefined) return `framework_id: ${problem}`;
  if (master.removals.has(id)) return "Framework is being removed";
  const known = master.frameworks.get(id);
  const { registeredFrameworks, disconnectedFrameworks, removedFrameworks } = master.registry;
  if (removedFrameworks.has(id) || known?.status.state === "removed") return REMOVED;
  if (master.completedFrameworks.some((one) => one.id === id)) return REMOVED;
  const owner =
    known?.principal ?? registeredFrameworks.get(id)?.principal ?? disconnectedFrameworks.get(id)?.principal;
  if (owner !== undefined) return owner === principal ? undefined : OF_ANOTHER;
  // An id that this master would have made itself is either forgotten or was never given: nobody may claim it.
  return known === undefined && id.startsWith(`${master.masterId}-`) && !master.subscriptions.has(id)
    ? REMOVED
    : undefined;
}

function freshId(master: Master): FrameworkId {
  master.marked.nextIds = true;
  return `${master.masterId}-${String(master.nextFramework++).padStart(4, "0")}` as FrameworkId;
}

/** What is wrong with a framework itself: http-api-v1 §4.3. */
function subscriptionProblem(
  master: Master,
  { info, suppressedRoles, offerConstraints }: Subscription,
): string | undefined {
  const { roles: known, rootSubmissions } = master.settings;
  if (isMultiRole(info) && info.role !== undefined)
    return "framework_info: 'role' may not be set together with MULTI_ROLE";
  if (!isMultiRole(info) && info.roles.length > 0) return "framework_info: 'roles' needs the capability MULTI_ROLE";
  const roles = rolesOf(info);
  for (const role of roles) {
    const problem = roleProblem(role);
    if (problem !== undefined) return `framework_info: ${problem}`;
    if (known !== undefined && role !== DEFAULT_ROLE && !known.has(role))
      return `framework_info: role '${role}' is not among the roles of this plane`;
  }
  if (new Set(roles).size !== roles.length) return "framework_info: a role is named twice";
  if (!rootSubmissions && info.user === "root") return "User 'root' is not allowed to run frameworks";
  if (timeoutMs(info) / 1000 > FAILOVER_SECONDS_MAX || timeoutMs(info) < 0) {
    return `framework_info: failover_timeout is from 0 to ${FAILOVER_SECONDS_MAX} s`;
  }
  const stranger = (named: Iterable<string>): string | undefined => [...named].find((role) => !roles.includes(role));
  const suppressed = stranger(suppressedRoles);
  if (suppressed !== undefined) return `suppressed_roles: '${suppressed}' is not a role of the framework`;
  const filtered = stranger(Object.keys(info.offer_filters ?? {}));
  if (filtered !== undefined) return `framework_info.offer_filters: '${filtered}' is not a role of the framework`;
  if (offerConstraints === undefined) return undefined;
  const constrained = stranger(Object.keys(offerConstraints.role_constraints ?? {}));
  if (constrained !== undefined) return `offer_constraints: '${constrained}' is not a role of the framework`;
  return constraintsProblem(offerConstraints);
}

/** The stream is the framework's from now on. */
function connect(
  master: Master,
  id: FrameworkId,
  { info, principal, suppressedRoles, offerConstraints }: SubscribeRequest,
  streamId: StreamId,
  now: Millis,
): void {
  const known = master.frameworks.get(id);
  const framework = known ?? newFramework(id, info, principal, now);
  if (known !== undefined) {
    if (known.status.state === "connected") refuse(master, known.status.streamId, "Framework failed over");
    removeOffersTo(master, id, { rescind: false });
    // user and checkpoint never change: a change is accepted and ignored.
    const { user, checkpoint } = known.status.state === "recovered" ? info : known.info;
    known.info = { ...info, user, checkpoint };
    known.principal = principal;
    known.reregisteredAt = now;
  }
  framework.suppressedRoles = new Set(suppressedRoles);
  framework.offerConstraints = offerConstraints;
  framework.status = { state: "connected", streamId };
  if (master.registry.disconnectedFrameworks.has(id)) {
    const why = { who: principal, why: "it has subscribed again" };
    askRegistry(master, { type: "noted" }, { type: "reconnect-framework", frameworkId: id }, why);
  }
  master.frameworks.set(id, framework);
  master.marked.frameworks.add(id);
  frameworkIs(master, framework);
  greet(master, framework, streamId);
}

function greet(master: Master, framework: FrameworkRecord, streamId: StreamId): void {
  const send = (event: SchedulerEvent) => master.effects.push({ type: "event", streamId, event });
  send({
    type: "SUBSCRIBED",
    subscribed: {
      framework_id: { value: framework.id },
      heartbeat_interval_seconds: HEARTBEAT_INTERVAL_SECONDS,
      master_info: master.info,
    },
  });
  // Some readers deliver a record only when the next one begins: this releases SUBSCRIBED.
  send({ type: "HEARTBEAT" });
  master.effects.push({ type: "events", streamId, events: missedBy(master, framework), holds: 1 });
}

/** What it has not acknowledged; then what we said while nobody listened [M62]. As it stands when it is told. */
function* missedBy(master: Master, framework: FrameworkRecord): Iterable<SchedulerEvent> {
  for (const taskId of [...framework.tasks.keys()]) {
    const task = framework.tasks.get(taskId);
    const uuid = task?.unacknowledged?.uuid;
    if (task === undefined || uuid === undefined) continue;
    // One that a later word of the master has replaced its agent will repeat.
    const status = detailOf(master, task).statuses.findLast((one) => one.uuid === uuid);
    if (status !== undefined) yield { type: "UPDATE", update: { status } };
  }
  for (const taskId of [...framework.undelivered.keys()]) {
    const status = framework.undelivered.get(taskId);
    if (status === undefined) continue;
    forgetWord(master, framework, taskId);
    yield { type: "UPDATE", update: { status } };
  }
}

/** UPDATE_FRAMEWORK: done when it is answered. */
export function updateFramework(master: Master, framework: FrameworkRecord, update: Subscription): CallAnswer {
  const { suppressedRoles, offerConstraints } = update;
  const before = framework.info;
  const info: FrameworkInfo = { ...update.info, principal: update.info.principal ?? before.principal };
  const refused = (text: string): CallAnswer => ({ status: 400, text });
  for (const field of ["principal", "user", "checkpoint"] as const) {
    if ((info[field] ?? false) !== (before[field] ?? false))
      return refused(`framework_info.${field} may not be changed`);
  }
  const problem = subscriptionProblem(master, update);
  if (problem !== undefined) return refused(problem);
  const timeoutChanged = timeoutMs(info) !== timeoutMs(before);
  framework.info = { ...info, id: { value: framework.id } };
  framework.suppressedRoles = new Set(suppressedRoles);
  framework.offerConstraints = offerConstraints;
  master.marked.frameworks.add(framework.id);
  const roles = rolesOf(framework.info);
  removeOffersTo(master, framework.id, { rescind: true }, (role) => !roles.includes(role));
  frameworkIs(master, framework);
  if (timeoutChanged) noteRegistration(master, framework);
  return { status: 200, text: "" };
}

/** Roles that a call means: all when it names none; undefined when one of them is not the framework's, and the call means nothing. */
function meant({ info }: FrameworkRecord, named: readonly string[]): readonly string[] | undefined {
  const roles = rolesOf(info);
  if (named.length === 0) return roles;
  return named.every((role) => roles.includes(role)) ? named : undefined;
}

/** REVIVE: refusals are forgotten, suppression ends. */
export function reviveOffers(master: Master, framework: FrameworkRecord, named: readonly string[]): void {
  const roles = meant(framework, named);
  if (roles === undefined) return;
  framework.suppressedRoles = new Set([...framework.suppressedRoles].filter((role) => !roles.includes(role)));
  master.marked.frameworks.add(framework.id);
  revive(master.allocator, framework.id, roles);
}

/** SUPPRESS: nothing is offered under these roles until REVIVE. */
export function suppressOffers(master: Master, framework: FrameworkRecord, named: readonly string[]): void {
  const roles = meant(framework, named);
  if (roles === undefined) return;
  framework.suppressedRoles = new Set([...framework.suppressedRoles, ...roles]);
  master.marked.frameworks.add(framework.id);
  suppress(master.allocator, framework.id, roles);
}
