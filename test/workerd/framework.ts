// A framework, and an agent under it, that a workerd test moves by hand, in JSON.
import { env, runInDurableObject } from "cloudflare:test";
import { present } from "#base/assert.ts";
import { AGENT_CAPABILITIES, type AgentMessage, type NumberedOrder } from "#protocol/agent.ts";
import { JSON_TYPE } from "#protocol/media-type.ts";
import { RecordReader } from "#protocol/record-io.ts";
import type { Offer, SchedulerEvent } from "#protocol/scheduler.ts";
import type { Env } from "../../src/durable-objects/env.ts";
import { register, request, TestSocket } from "./plane.ts";

const PATH = "/api/v1/scheduler";

export type Plain = Readonly<Record<string, unknown>>;
export type As = "scheduler" | "operator";
type EventOf<Type extends SchedulerEvent["type"]> = Extract<SchedulerEvent, { type: Type }>;

export const id = (value: string) => ({ value });
export const scalar = (name: string, value: unknown, more: Plain = {}) => ({
  name,
  type: "SCALAR" as const,
  scalar: { value },
  ...more,
});

export function post(
  call: Plain | string | Uint8Array<ArrayBuffer>,
  { as = "scheduler", streamId, contentType = JSON_TYPE }: { as?: As; streamId?: string; contentType?: string } = {},
): Promise<Response> {
  const headers: Record<string, string> = { "content-type": contentType };
  if (streamId !== undefined) headers["mesos-stream-id"] = streamId;
  const body = typeof call === "string" || call instanceof Uint8Array ? call : JSON.stringify(call);
  return request(PATH, { as, method: "POST", body, headers });
}

const { MASTER } = env as unknown as Env;
export const master = (number = 1) => MASTER.get(MASTER.idFromName(`master-${number}`));

/** As a deploy does it: the object is gone with its streams, and the next call finds what is stored. Agents' sockets stay. */
export async function restartMaster(number = 1): Promise<void> {
  const gone = runInDurableObject(master(number), (_, ctx) => ctx.abort("restarted by the test"));
  await gone.catch(() => undefined);
}

export interface Wishes {
  readonly as?: As;
  /** Of FrameworkInfo. */
  readonly info?: Plain;
  /** Beside FrameworkInfo. */
  readonly more?: Plain;
}

export class TestFramework {
  readonly as: As;
  readonly streamId: string;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #records = new RecordReader();
  /** All that it was told, also what nobody waited for. */
  readonly events: SchedulerEvent[] = [];
  /** Events before this one have been looked at by {@link next}. */
  #at = 0;
  id = "";
  static readonly #open = new Set<TestFramework>();

  private constructor(response: Response, as: As) {
    TestFramework.#open.add(this);
    this.as = as;
    this.streamId = response.headers.get("mesos-stream-id") ?? "";
    this.#reader = present(response.body as ReadableStream<Uint8Array> | null, "a stream").getReader();
  }

  /** Its stream, whatever is said on it. */
  static async open({ as = "scheduler", info = {}, more = {} }: Wishes = {}): Promise<TestFramework> {
    const framework_info = { user: "nobody", name: "test", failover_timeout: 3600, ...info };
    const call = { type: "SUBSCRIBE", framework_id: info["id"], subscribe: { framework_info, ...more } };
    const response = await post(call, { as });
    if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
    return new TestFramework(response, as);
  }

  static async subscribe(wishes: Wishes = {}): Promise<TestFramework> {
    const framework = await TestFramework.open(wishes);
    framework.id = (await framework.next("SUBSCRIBED")).subscribed.framework_id.value;
    return framework;
  }

  /** After each test: tests share agents, and what is left of a failed one would take their offers. */
  static async endAll(): Promise<void> {
    for (const framework of TestFramework.#open) {
      TestFramework.#open.delete(framework);
      await framework.call({ type: "TEARDOWN" });
      await framework.#reader.cancel("done").catch(() => undefined);
    }
  }

  /** False when the stream has ended. */
  async #read(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    if (done) return false;
    const read = this.#records.push(value);
    if (read.type === "refused") throw new Error(read.reason);
    for (const record of read.records) this.events.push(JSON.parse(new TextDecoder().decode(record)) as SchedulerEvent);
    return true;
  }

  /** The next event of this type that is as wanted; others before it are passed over. */
  async next<Type extends SchedulerEvent["type"]>(
    type: Type,
    wanted: (event: EventOf<Type>) => boolean = () => true,
  ): Promise<EventOf<Type>> {
    for (;;) {
      for (; this.#at < this.events.length; this.#at++) {
        const event = this.events[this.#at];
        if (event?.type !== type || !wanted(event as EventOf<Type>)) continue;
        this.#at++;
        return event as EventOf<Type>;
      }
      if (!(await this.#read())) throw new Error(`the stream ended before ${type}`);
    }
  }

  /** The next event, whatever it is. */
  async any(): Promise<SchedulerEvent> {
    while (this.#at === this.events.length) if (!(await this.#read())) throw new Error("the stream has ended");
    return present(this.events[this.#at++], "an event");
  }

  /** Reads to the stream's end. */
  async ended(): Promise<void> {
    while (await this.#read());
  }

  call(
    call: Plain,
    { as = this.as, streamId = this.streamId }: { as?: As; streamId?: string } = {},
  ): Promise<Response> {
    return post({ framework_id: id(this.id), ...call }, { as, streamId });
  }

  /** The next offer of an agent. */
  async offerOf(agentId: string): Promise<Offer> {
    const of = ({ offers }: EventOf<"OFFERS">) => offers.offers.find(({ agent_id }) => agent_id.value === agentId);
    const event = await this.next("OFFERS", (one) => of(one) !== undefined);
    return present(of(event), "an offer");
  }

  accept(offerIds: readonly string[], operations: readonly Plain[], more: Plain = {}): Promise<Response> {
    const accept = { offer_ids: offerIds.map(id), operations, filters: { refuse_seconds: 0 }, ...more };
    return this.call({ type: "ACCEPT", accept });
  }

  /** The last states that it was told of a task, in order. */
  statesOf(taskId: string): string[] {
    return this.events.flatMap((event) =>
      event.type === "UPDATE" && event.update.status.task_id.value === taskId ? [event.update.status.state] : [],
    );
  }

  async leave(): Promise<void> {
    await this.#reader.cancel("done");
  }
}

export const task = (taskId: string, agentId: string, more: Plain = {}): Plain => ({
  name: "task",
  task_id: id(taskId),
  agent_id: id(agentId),
  resources: [scalar("cpus", 0.5), scalar("mem", 64)],
  command: { value: "true" },
  ...more,
});
export const launch = (...task_infos: readonly Plain[]): Plain => ({ type: "LAUNCH", launch: { task_infos } });

type Registration = Extract<AgentMessage, { type: "register" }>;

/** An agent that can do all that agents can, with 2 CPUs, 1,000 MB, 500 MB of disk and a hundred ports. */
export const HAS = [
  scalar("cpus", 2),
  scalar("mem", 1000),
  scalar("disk", 500),
  { name: "ports", type: "RANGES" as const, ranges: { range: [{ begin: 31_000, end: 31_099 }] } },
];

export class TestAgent {
  readonly host: number;
  socket: TestSocket;
  agentId = "";
  session = "";
  epoch = 0;

  private constructor(host: number, socket: TestSocket) {
    this.host = host;
    this.socket = socket;
  }

  static async start(host: number, more: Partial<Registration> = {}): Promise<TestAgent> {
    const agent = new TestAgent(host, await TestSocket.open(host));
    await agent.#register(more);
    return agent;
  }

  async #register(more: Partial<Registration>): Promise<void> {
    await this.socket.authenticate("agent", undefined, this.epoch);
    await this.socket.next("authenticated");
    const resources = HAS as Registration["info"]["resources"];
    const info = { hostname: "host", port: 5051, resources, attributes: [], capabilities: [...AGENT_CAPABILITIES] };
    const again = this.agentId === "" ? {} : { agentId: this.agentId as never, lastSession: this.session as never };
    this.socket.send(register({ info, ...again, ...more }));
    const { agentId, session, epoch } = await this.socket.next("registered");
    Object.assign(this, { agentId, session, epoch });
  }

  /** On a new socket, with this to report. */
  async again(more: Partial<Registration> = {}): Promise<void> {
    this.socket.close();
    this.socket = await TestSocket.open(this.host);
    await this.#register(more);
  }

  /** The next order, acted upon. */
  async order(): Promise<NumberedOrder["order"]> {
    const { sequence, order } = present((await this.socket.next("orders")).orders[0], "an order");
    this.socket.send({ type: "acted", session: this.session as never, sequence });
    return order;
  }

  /** Says a state of a task, under a uuid that is made of `number`. */
  update(frameworkId: string, taskId: string, state: string, number: number): void {
    const uuid = btoa(String(number).padStart(16, "0"));
    const status = {
      task_id: id(taskId),
      state,
      source: "SOURCE_EXECUTOR",
      agent_id: id(this.agentId),
      timestamp: 1,
      uuid,
    };
    const updates = [{ frameworkId, status, latest: state }];
    this.socket.sendRaw(JSON.stringify({ type: "updates", session: this.session, updates }));
  }
}
