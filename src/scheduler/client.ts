// One framework's side of `/api/v1/scheduler`: one subscription at a time, and the calls that belong to it. The client
// remembers the framework id over subscriptions and the stream id of the current one; it never retries by itself.
import { toBase64 } from "#base/base64.ts";
import type { FrameworkId, OfferId } from "#protocol/ids.ts";
import type { SchedulerEvent } from "#protocol/scheduler.ts";
import type { TaskStatus } from "#protocol/task.ts";
import { CallRefusedError, PlaneUnreachableError } from "./errors.ts";
import { readEvents } from "./event-stream.ts";
import type { FrameworkRequest, KillRequest, TaskRequest, TaskToReconcile } from "./requests.ts";

const PATH = "/api/v1/scheduler";
const JSON_TYPE = "application/json";
/** Time for the answer to a call, or for the head of a stream, ms. */
const ANSWER_TIMEOUT_MS = 30_000;
/** Most characters of a refusal that end up in an error. */
const REFUSAL_TEXT_MAX = 1000;

export interface Credential {
  readonly principal: string;
  readonly secret: string;
}

export interface SchedulerOptions {
  /** The plane's URL; only scheme, host and port count. */
  readonly plane: string;
  readonly credential?: Credential;
  /** The framework's id when it is known to the plane already. */
  readonly frameworkId?: FrameworkId;
  readonly fetch?: typeof fetch;
}

export class SchedulerClient {
  readonly #fetch: typeof fetch;
  readonly #authorization: string | undefined;
  #plane: URL;
  #frameworkId: FrameworkId | undefined;
  #streamId: string | undefined;

  constructor({ plane, credential, frameworkId, fetch: fetchWith }: SchedulerOptions) {
    this.#plane = new URL(PATH, plane);
    this.#frameworkId = frameworkId;
    this.#fetch = fetchWith ?? ((input, init) => fetch(input, init));
    this.#authorization = credential && basicAuthorization(credential);
  }

  /** Undefined before the first SUBSCRIBED. */
  get frameworkId(): FrameworkId | undefined {
    return this.#frameworkId;
  }

  /**
   * Subscribes and yields events until the stream is dead: after an ERROR event it returns, otherwise it throws
   * StreamBrokenError, PlaneUnreachableError or CallRefusedError. With a known framework id it takes that framework over.
   * Leaving the loop closes the stream, and the plane counts the framework as disconnected.
   */
  async *subscribe(
    framework: FrameworkRequest,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<SchedulerEvent, void, undefined> {
    const id = this.#frameworkId === undefined ? undefined : { value: this.#frameworkId };
    const connection = new AbortController();
    const leave = (): void => connection.abort(signal?.reason);
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted === true) leave();
    try {
      const call = { type: "SUBSCRIBE", framework_id: id, subscribe: { framework_info: { ...framework, id } } };
      const response = await this.#postInTime(call, connection);
      if (response.status !== 200 || response.body === null) throw await this.#refusal("SUBSCRIBE", response);
      this.#streamId = response.headers.get("Mesos-Stream-Id") ?? undefined;
      for await (const event of readEvents(response.body, (reason) => connection.abort(reason))) {
        if (event.type === "SUBSCRIBED") this.#frameworkId = event.subscribed.framework_id.value;
        yield event;
      }
    } finally {
      this.#streamId = undefined;
      signal?.removeEventListener("abort", leave);
      connection.abort();
    }
  }

  /** Launches tasks on offers of one agent. What the tasks leave over is not offered again for `refuseSeconds` (plane's default 5). */
  accept(offerIds: readonly OfferId[], tasks: readonly TaskRequest[], refuseSeconds?: number): Promise<void> {
    const operations = [{ type: "LAUNCH", launch: { task_infos: tasks } }];
    return this.#call("ACCEPT", {
      accept: { offer_ids: offerIds.map((value) => ({ value })), operations, filters: filtersOf(refuseSeconds) },
    });
  }

  decline(offerIds: readonly OfferId[], refuseSeconds?: number): Promise<void> {
    return this.#call("DECLINE", {
      decline: { offer_ids: offerIds.map((value) => ({ value })), filters: filtersOf(refuseSeconds) },
    });
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

  /** Asks for the state of these tasks; answers are updates without uuid, and may not come while agents still re-register. */
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

  /** Removes the framework: its tasks are killed, and its id is dead. */
  teardown(): Promise<void> {
    return this.#call("TEARDOWN", {});
  }

  async #call(type: string, members: object): Promise<void> {
    const call = { type, framework_id: this.#frameworkId && { value: this.#frameworkId }, ...members };
    const response = await this.#postInTime(call, new AbortController());
    if (response.status !== 202) throw await this.#refusal(type, response);
    await response.body?.cancel();
  }

  async #postInTime(call: { readonly type: string }, connection: AbortController): Promise<Response> {
    const timer = setTimeout(() => connection.abort(new Error("no answer in time")), ANSWER_TIMEOUT_MS);
    try {
      return await this.#fetch(this.#plane, {
        method: "POST",
        headers: this.#headers(call.type),
        body: JSON.stringify(call),
        redirect: "manual", // a redirect carries the new leader's address, and fetch would drop our credentials on the way
        signal: connection.signal,
      });
    } catch (error) {
      throw new PlaneUnreachableError(`${call.type}: ${this.#plane.origin} does not answer: ${reasonOf(error)}`);
    } finally {
      clearTimeout(timer);
    }
  }

  #headers(callType: string): Record<string, string> {
    const headers: Record<string, string> = { "Content-Type": JSON_TYPE, Accept: JSON_TYPE };
    if (this.#authorization !== undefined) headers["Authorization"] = this.#authorization;
    // A SUBSCRIBE that names a stream is refused (http-api-v1 §4, check 12).
    if (this.#streamId !== undefined && callType !== "SUBSCRIBE") headers["Mesos-Stream-Id"] = this.#streamId;
    return headers;
  }

  async #refusal(call: string, response: Response): Promise<CallRefusedError> {
    if (response.status === 307) this.#follow(response.headers.get("Location"));
    const text = await response.text().catch(() => "");
    return new CallRefusedError(call, response.status, text.trim().slice(0, REFUSAL_TEXT_MAX));
  }

  /** Mesos' Location is `//host:port/path`: host and port count, the scheme and path stay ours (http-api-v1 §4). */
  #follow(location: string | null): void {
    if (location === null || !URL.canParse(location, this.#plane)) return;
    const leader = new URL(PATH, new URL(location, this.#plane));
    leader.protocol = this.#plane.protocol;
    this.#plane = leader;
  }
}

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
