// The plane's scheduler API on a real port, as far as a client can see it. The test says what is on the stream.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import { encodeRecord } from "#protocol/record-io.ts";
import { callSchema, type Call, type CallType } from "#protocol/scheduler.ts";
import * as v from "valibot";
import type { TaskState, TaskStatus } from "#protocol/task.ts";

export interface Received {
  readonly type: CallType;
  readonly call: Call;
  readonly streamId: string | undefined;
  readonly authorization: string | undefined;
}

/** "none": the connection is cut instead. */
export type Answer =
  | { readonly status: number; readonly text?: string; readonly headers?: Readonly<Record<string, string>> }
  | "none";

export const HEARTBEAT = { type: "HEARTBEAT" };
export const FRAMEWORK_ID = "framework-0000";

export class HttpPlane {
  readonly received: Received[] = [];
  /** Instead of the usual answer. It may take its time. */
  answer: (received: Received) => Answer | undefined | Promise<Answer | undefined> = () => undefined;
  /** Sent after SUBSCRIBED and the first HEARTBEAT of each subscription. */
  onSubscribed: () => void = () => undefined;
  subscriptions = 0;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #stream: ServerResponse | undefined;

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  breakStream(): void {
    this.#stream?.destroy();
  }

  send(...events: readonly object[]): void {
    for (const event of events) this.#stream?.write(encodeRecord(new TextEncoder().encode(JSON.stringify(event))));
  }

  offer(...ids: readonly string[]): void {
    this.send({ type: "OFFERS", offers: { offers: ids.map((id) => offerOf(id)) } });
  }

  update(taskId: string, state: TaskState, more: Partial<TaskStatus> = {}): void {
    this.send({ type: "UPDATE", update: { status: statusOf(taskId, state, more) } });
  }

  /** As the plane answers a reconciliation. */
  reconciled(taskId: string, state: TaskState): void {
    this.update(taskId, state, { uuid: undefined, source: "SOURCE_MASTER", reason: "REASON_RECONCILIATION" });
  }

  callsOf(type: CallType): readonly Received[] {
    return this.received.filter((one) => one.type === type);
  }

  async hears(type: CallType, times = 1): Promise<void> {
    await expect.poll(() => this.callsOf(type).length, { interval: 2 }).toBe(times);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = v.parse(callSchema, JSON.parse(await text(request)));
    const received: Received = {
      type: call.type ?? "UNKNOWN",
      call,
      streamId: request.headers["mesos-stream-id"]?.toString(),
      authorization: request.headers.authorization,
    };
    this.received.push(received);
    const answer = await this.answer(received);
    if (answer === "none") return void request.socket.destroy();
    if (answer !== undefined) return void response.writeHead(answer.status, answer.headers).end(answer.text ?? "");
    if (call.type === "SUBSCRIBE") return this.#subscribe(response);
    response.writeHead(202).end();
    if (call.type === "TEARDOWN") this.#stream?.end();
  }

  #subscribe(response: ServerResponse): void {
    this.subscriptions++;
    this.#stream = response;
    response.writeHead(200, { "Content-Type": "application/json", "Mesos-Stream-Id": `stream-${this.subscriptions}` });
    const subscribed = { framework_id: { value: FRAMEWORK_ID }, heartbeat_interval_seconds: 15, master_info: {} };
    this.send({ type: "SUBSCRIBED", subscribed }, HEARTBEAT);
    this.onSubscribed();
  }
}

export const offerOf = (id: string): object => ({
  id: { value: id },
  framework_id: { value: FRAMEWORK_ID },
  agent_id: { value: "agent-S0" },
  hostname: "a",
  resources: [],
});

export const statusOf = (taskId: string, state: TaskState, more: Partial<TaskStatus> = {}): TaskStatus =>
  ({
    task_id: { value: taskId },
    agent_id: { value: "agent-S0" },
    state,
    uuid: btoa(`${taskId}-${state}`.padEnd(16).slice(-16)),
    ...more,
  }) as TaskStatus;
