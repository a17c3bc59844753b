// One framework's side of `/api/v1/scheduler`: one subscription at a time, and the calls that belong to it. The client
// remembers the framework id over subscriptions, the stream id of the current one, and where the leader is; it never
// retries by itself.
import { toBase64 } from "#base/base64.ts";
import type { AgentId, FrameworkId, OfferId } from "#protocol/ids.ts";
import type { OperationStatus } from "#protocol/operation.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import { addressesOf, another, followed, type Addresses } from "./addresses.ts";
import { systemClock, type Clock } from "./clock.ts";
import { CallRefusedError, PlaneUnreachableError, RedirectRefusedError, StreamBrokenError } from "./errors.ts";
import { readEvents } from "./event-stream.ts";
import type {
  ExecutorToReach,
  FrameworkRequest,
  KillRequest,
  OfferConstraintsRequest,
  OperationRequest,
  OperationToReconcile,
  ResourceRequest,
  TaskToReconcile,
} from "./requests.ts";

const JSON_TYPE = "application/json";
/** Time for the answer to a call, or for the head of a stream, ms. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Most characters of a refusal that end up in an error. */
const REFUSAL_TEXT_MAX = 1000;
/** A `Retry-After` of more is taken as this, ms. */
const RETRY_AFTER_MS_MAX = 300_000;

export interface Credential {
  readonly principal: string;
  readonly secret: string;
}

export interface ClientOptions {
  /** The plane's URL; only scheme, host and port count. */
  readonly plane: string;
  /**
   * Further addresses of the same plane. They are tried when one does not answer, and a redirect is followed to them; to any
   * other host it is not, because a call carries the credential.
   */
  readonly masters?: readonly string[];
  readonly credential?: Credential;
  /** The framework's id when it is known to the plane already. */
  readonly frameworkId?: FrameworkId;
  readonly fetch?: typeof fetch;
  readonly clock?: Clock;
}

export interface SubscribeOptions {
  readonly signal?: AbortSignal;
  readonly offers?: OfferWishes;
}

/** Which offers the framework wants, beside those that it declines: each SUBSCRIBE and UPDATE_FRAMEWORK says it anew. */
export interface OfferWishes {
  /** Roles of the framework that want no offers. */
  readonly suppressedRoles?: readonly string[];
  readonly constraints?: OfferConstraintsRequest;
}

interface Subscription {
  readonly streamId: string | undefined;
}

export class SchedulerClient {
  readonly #fetch: typeof fetch;
  readonly #clock: Clock;
  readonly #authorization: string | undefined;
  #addresses: Addresses;
  #frameworkId: FrameworkId | undefined;
  #subscription: Subscription | undefined;
  #connection: AbortController | undefined;

  constructor({ plane, masters = [], credential, frameworkId, fetch: fetchWith, clock = systemClock }: ClientOptions) {
    this.#addresses = addressesOf(plane, masters);
    this.#frameworkId = frameworkId;
    this.#fetch = fetchWith ?? ((input, init) => fetch(input, init));
    this.#clock = clock;
    this.#authorization = credential && basicAuthorization(credential);
  }

  /** Undefined before the first SUBSCRIBED. */
  get frameworkId(): FrameworkId | undefined {
    return this.#frameworkId;
  }

  /** Whether SUBSCRIBED has come and the stream was not seen to end. */
  get isSubscribed(): boolean {
    return this.#subscription !== undefined;
  }

  /**
   * Subscribes and yields events until the stream is dead: after an ERROR event it returns, otherwise it throws
   * StreamBrokenError, PlaneUnreachableError or CallRefusedError. With a known framework id it takes that framework over.
   * Leaving the loop closes the stream, and the plane counts the framework as disconnected.
   */
  async *subscribe(
    framework: FrameworkRequest,
    { signal, offers }: SubscribeOptions = {},
  ): AsyncGenerator<SchedulerEvent, void, undefined> {
    const id = this.#frameworkId === undefined ? undefined : { value: this.#frameworkId };
    const connection = new AbortController();
    this.#connection = connection;
    const leave = (): void => connection.abort(signal?.reason);
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted === true) leave();
    try {
      const { body, streamId } = await this.#open(subscribeCall(framework, id, offers), connection);
      for await (const event of readEvents(body, (reason) => connection.abort(reason), this.#clock)) {
        if (event.type === "SUBSCRIBED") {
          this.#frameworkId = event.subscribed.framework_id.value;
          this.#subscription = { streamId };
        }
        yield event;
      }
    } finally {
      this.#subscription = undefined;
      signal?.removeEventListener("abort", leave);
      connection.abort();
    }
  }

  /**
   * Ends the current subscription as if its stream had broken. What was on its way in it is refused from the next
   * SUBSCRIBED on: so ends the doubt about a call without answer.
   */
  interrupt(reason: string): void {
    this.#subscription = undefined;
    this.#connection?.abort(new StreamBrokenError(reason));
  }

  /**
   * Uses offers of one agent; the operations are done in their order. What they leave over is not offered again for
   * `refuseSeconds` (the plane's default is 5 s; 0 asks for it with the next offers).
   */
  accept(offerIds: readonly OfferId[], operations: readonly OperationRequest[], refuseSeconds?: number): Promise<void> {
    return this.#call("ACCEPT", {
      accept: { offer_ids: wrapped(offerIds), operations, filters: filtersOf(refuseSeconds) },
    });
  }

  decline(offerIds: readonly OfferId[], refuseSeconds?: number): Promise<void> {
    return this.#call("DECLINE", { decline: { offer_ids: wrapped(offerIds), filters: filtersOf(refuseSeconds) } });
  }

  /** Wants offers again, also those that it refused. Without roles: in all of the framework's. */
  revive(roles: readonly string[] = []): Promise<void> {
    return this.#call("REVIVE", { revive: { roles } });
  }

  /** Wants no offers until {@link revive} or the next subscription. Without roles: in none of the framework's. */
  suppress(roles: readonly string[] = []): Promise<void> {
    return this.#call("SUPPRESS", { suppress: { roles } });
  }

  /** The result is an update; a task that the plane does not know is answered like {@link reconcile}. */
  kill({ taskId, agentId, gracePeriodNs }: KillRequest): Promise<void> {
    return this.#call("KILL", {
      kill: {
        task_id: { value: taskId },
        agent_id: agentId && { value: agentId },
        kill_policy: gracePeriodNs === undefined ? undefined : { grace_period: { nanoseconds: gracePeriodNs } },
      },
    });
  }

  /** Tells the agent to forget an update. Updates that the plane made itself have no uuid, and nothing is sent for them. */
  async acknowledge({ task_id, agent_id, uuid }: TaskStatus): Promise<void> {
    if (uuid === undefined || agent_id === undefined) return;
    await this.#call("ACKNOWLEDGE", { acknowledge: { agent_id, task_id, uuid } });
  }

  /** Asks for the state of these tasks, or of all for none; answers are updates without uuid, and may not come while agents still re-register. */
  reconcile(tasks: readonly TaskToReconcile[]): Promise<void> {
    return this.#call("RECONCILE", {
      reconcile: {
        tasks: tasks.map(({ taskId, agentId }) => ({
          task_id: { value: taskId },
          agent_id: agentId && { value: agentId },
        })),
      },
    });
  }

  /** Ends an executor and its tasks; the result is a FAILURE event and the tasks' updates. */
  shutdown({ executorId, agentId }: ExecutorToReach): Promise<void> {
    return this.#call("SHUTDOWN", {
      shutdown: { executor_id: { value: executorId }, agent_id: { value: agentId } },
    });
  }

  /** To an executor of the framework's own. Best effort: nobody says whether it arrived. */
  message({ executorId, agentId }: ExecutorToReach, data: Uint8Array): Promise<void> {
    return this.#call("MESSAGE", {
      message: { agent_id: { value: agentId }, executor_id: { value: executorId }, data: toBase64(data) },
    });
  }

  /** Says what the framework would like to be offered. Mesos' allocator takes no notice. */
  request(
    requests: readonly { readonly agentId?: AgentId; readonly resources: readonly ResourceRequest[] }[],
  ): Promise<void> {
    return this.#call("REQUEST", {
      request: {
        requests: requests.map(({ agentId, resources }) => ({ agent_id: agentId && { value: agentId }, resources })),
      },
    });
  }

  /** Agrees to give back what the framework has on an agent that is to be maintained. */
  acceptInverseOffers(inverseOfferIds: readonly OfferId[], refuseSeconds?: number): Promise<void> {
    const accept_inverse_offers = {
      inverse_offer_ids: wrapped(inverseOfferIds),
      filters: filtersOf(refuseSeconds),
    };
    return this.#call("ACCEPT_INVERSE_OFFERS", { accept_inverse_offers });
  }

  declineInverseOffers(inverseOfferIds: readonly OfferId[], refuseSeconds?: number): Promise<void> {
    const decline_inverse_offers = {
      inverse_offer_ids: wrapped(inverseOfferIds),
      filters: filtersOf(refuseSeconds),
    };
    return this.#call("DECLINE_INVERSE_OFFERS", { decline_inverse_offers });
  }

  /** As {@link acknowledge}, for the news of operations that have an id. */
  async acknowledgeOperationStatus(status: OperationStatus): Promise<void> {
    const { operation_id, agent_id, resource_provider_id, uuid } = status;
    if (uuid === undefined || operation_id === undefined) return;
    await this.#call("ACKNOWLEDGE_OPERATION_STATUS", {
      acknowledge_operation_status: { agent_id, resource_provider_id, uuid: uuid.value, operation_id },
    });
  }

  /** Asks for the state of these operations, or of all for none; answers are UPDATE_OPERATION_STATUS events without uuid. */
  reconcileOperations(operations: readonly OperationToReconcile[]): Promise<void> {
    return this.#call("RECONCILE_OPERATIONS", {
      reconcile_operations: {
        operations: operations.map(({ operationId, agentId, resourceProviderId }) => ({
          operation_id: { value: operationId },
          agent_id: agentId && { value: agentId },
          resource_provider_id: resourceProviderId && { value: resourceProviderId },
        })),
      },
    });
  }

  /** Changes what may change: not its user, principal or checkpoint. It is done when this resolves. */
  updateFramework(framework: FrameworkRequest, offers?: OfferWishes): Promise<void> {
    const id = this.#frameworkId && { value: this.#frameworkId };
    return this.#call("UPDATE_FRAMEWORK", { update_framework: subscriptionOf(framework, id, offers) });
  }

  /** Removes the framework: its tasks are killed, and its id is dead. */
  teardown(): Promise<void> {
    return this.#call("TEARDOWN", {});
  }

  async #call(type: string, members: object): Promise<void> {
    const subscription = this.#subscription;
    if (subscription === undefined) throw new StreamBrokenError(`${type}: there is no subscription to make it in`);
    const call = { type, framework_id: this.#frameworkId && { value: this.#frameworkId }, ...members };
    const response = await this.#postInTime(call, new AbortController(), subscription.streamId);
    if (response.ok) {
      await response.body?.cancel();
      return;
    }
    // The plane has taken it for a call of an older stream, or of none.
    const isLate = this.#subscription !== subscription && (response.status === 400 || response.status === 403);
    const refusal = await refusalOf(type, response);
    throw isLate ? new StreamBrokenError(`${type}: its subscription was over: ${refusal.text}`) : refusal;
  }

  async #open(
    call: Call,
    connection: AbortController,
  ): Promise<{ readonly body: ReadableStream<Uint8Array>; readonly streamId: string | undefined }> {
    let response: Response;
    try {
      response = await this.#postInTime(call, connection, undefined);
    } catch (error) {
      this.#addresses = another(this.#addresses);
      throw error;
    }
    if (response.status === 200 && response.body !== null)
      return { body: response.body, streamId: response.headers.get("Mesos-Stream-Id") ?? undefined };
    if (response.status === 307) this.#follow(response.headers.get("Location"));
    // This one does not know who leads; another may.
    if (response.status === 503) this.#addresses = another(this.#addresses);
    throw await refusalOf(call.type, response);
  }

  #follow(location: string | null): void {
    const next = followed(this.#addresses, location);
    if (next === undefined) throw new RedirectRefusedError(location ?? "nobody");
    this.#addresses = next;
  }

  async #postInTime(call: Call, connection: AbortController, streamId: string | undefined): Promise<Response> {
    const url = this.#addresses.current;
    const stop = this.#clock.after(ANSWER_TIMEOUT_MS, () => connection.abort(new Error("no answer in time")));
    try {
      return await this.#fetch(url, {
        method: "POST",
        headers: this.#headers(streamId),
        body: JSON.stringify(call),
        redirect: "manual", // followed by us or not at all: fetch would take the call, with all that is in it, anywhere
        signal: connection.signal,
      });
    } catch (error) {
      throw new PlaneUnreachableError(`${call.type}: ${url.origin} does not answer: ${reasonOf(error)}`);
    } finally {
      stop();
    }
  }

  #headers(streamId: string | undefined): Record<string, string> {
    const headers: Record<string, string> = { "Content-Type": JSON_TYPE, Accept: JSON_TYPE };
    if (this.#authorization !== undefined) headers["Authorization"] = this.#authorization;
    if (streamId !== undefined) headers["Mesos-Stream-Id"] = streamId;
    return headers;
  }
}

interface Call {
  readonly type: string;
  readonly [member: string]: unknown;
}

type Wrapped<Id extends string> = { readonly value: Id };

const subscriptionOf = (
  framework: FrameworkRequest,
  id: Wrapped<FrameworkId> | undefined,
  { suppressedRoles, constraints }: OfferWishes = {},
): object => ({
  framework_info: { ...framework, id },
  suppressed_roles: suppressedRoles,
  offer_constraints: constraints,
});

const subscribeCall = (
  framework: FrameworkRequest,
  id: Wrapped<FrameworkId> | undefined,
  offers: OfferWishes | undefined,
): Call => ({ type: "SUBSCRIBE", framework_id: id, subscribe: subscriptionOf(framework, id, offers) });

async function refusalOf(call: string, response: Response): Promise<CallRefusedError> {
  const text = await response.text().catch(() => "");
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const retryAfterMs = seconds >= 0 ? Math.min(seconds * 1000, RETRY_AFTER_MS_MAX) : undefined;
  return new CallRefusedError(call, response.status, text.trim().slice(0, REFUSAL_TEXT_MAX), retryAfterMs);
}

const wrapped = <Id extends string>(ids: readonly Id[]): readonly Wrapped<Id>[] => ids.map((value) => ({ value }));

const filtersOf = (refuseSeconds: number | undefined): { readonly refuse_seconds: number } | undefined =>
  refuseSeconds === undefined ? undefined : { refuse_seconds: refuseSeconds };

/** The header for HTTP Basic, with principal and secret as UTF-8 (RFC 7617). */
export function basicAuthorization({ principal, secret }: Credential): string {
  return `Basic ${toBase64(new TextEncoder().encode(`${principal}:${secret}`))}`;
}

/** Node's fetch says "fetch failed" and hides why in `cause`. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}
