// A plane with one agent in a few lines, on a real port: what the command line meets, without what decides it.
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { encodeRecord } from "#protocol/record-io.ts";
import type { TaskState } from "#protocol/task.ts";

/** What a launched task does: states and output in this order, then nothing. A text is written to stdout. */
export type Script = readonly (
  | { readonly state: TaskState; readonly message?: string; readonly reason?: string }
  | { readonly stdout: string }
  | { readonly stderr: string }
)[];

export interface FakeCall {
  readonly type: string;
  readonly [member: string]: unknown;
}

export class FakePlane {
  readonly calls: FakeCall[] = [];
  offered = { cpus: 4, mem: 4096 };
  script: Script = [{ state: "TASK_RUNNING" }, { state: "TASK_FINISHED", message: "Command exited with status 0" }];
  onKill: Script = [{ state: "TASK_KILLED", message: "Command terminated with signal 15" }];
  /** Answer of this status to everything, when set. */
  failing: number | undefined;
  /** The next call of this type is done, and its answer lost. */
  loseAnswerTo: string | undefined;
  subscriptions = 0;
  readonly #files = { stdout: "", stderr: "" };
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #stream: ServerResponse | undefined;
  #taskId = "";

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  breakStream(): void {
    this.#stream?.destroy();
  }

  send(event: object): void {
    this.#stream?.write(encodeRecord(new TextEncoder().encode(JSON.stringify(event))));
  }

  play(script: Script): void {
    for (const item of script) {
      if ("stdout" in item) this.#files.stdout += item.stdout;
      else if ("stderr" in item) this.#files.stderr += item.stderr;
      else this.#update(item);
    }
  }

  callsOf(type: string): readonly FakeCall[] {
    return this.calls.filter((call) => call.type === type);
  }

  #update(status: { readonly state: TaskState; readonly message?: string; readonly reason?: string }): void {
    const uuid = randomBytes(16).toString("base64");
    this.send({
      type: "UPDATE",
      update: { status: { ...status, task_id: { value: this.#taskId }, agent_id: { value: "agent-S0" }, uuid } },
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.failing !== undefined) return void response.writeHead(this.failing).end("no quorum");
    const url = new URL(request.url ?? "/", "http://plane");
    if (url.pathname.startsWith("/agents/")) return this.#download(url, request, response);
    if (url.pathname !== "/api/v1/scheduler") return void response.writeHead(404).end();
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const call = JSON.parse(body) as FakeCall;
    this.calls.push({
      ...call,
      authorization: request.headers.authorization,
      streamId: request.headers["mesos-stream-id"],
    });
    if (call.type === "SUBSCRIBE") return this.#subscribe(response);
    if (call.type === this.loseAnswerTo) {
      this.loseAnswerTo = undefined;
      request.socket.destroy();
    } else response.writeHead(202).end();
    if (call.type === "ACCEPT") this.#accept(call);
    if (call.type === "KILL") this.play(this.onKill);
    if (call.type === "TEARDOWN") this.#stream?.end();
  }

  #subscribe(response: ServerResponse): void {
    this.subscriptions++;
    this.#stream = response;
    response.writeHead(200, { "Content-Type": "application/json", "Mesos-Stream-Id": `stream-${this.subscriptions}` });
    const framework_id = { value: "framework-0000" };
    this.send({ type: "SUBSCRIBED", subscribed: { framework_id, heartbeat_interval_seconds: 15, master_info: {} } });
    this.send({ type: "HEARTBEAT" });
    const resources = Object.entries(this.offered).map(([name, value]) => ({
      name,
      type: "SCALAR",
      scalar: { value },
    }));
    this.send({
      type: "OFFERS",
      offers: {
        offers: [{ id: { value: "O1" }, framework_id, agent_id: { value: "agent-S0" }, hostname: "a", resources }],
      },
    });
  }

  #accept(call: FakeCall): void {
    const { accept } = call as unknown as {
      accept: { operations: { launch: { task_infos: { task_id: { value: string } }[] } }[] };
    };
    this.#taskId = accept.operations[0]?.launch.task_infos[0]?.task_id.value ?? "";
    this.play(this.script);
  }

  #download(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const name = url.searchParams.get("path")?.endsWith("/stderr") === true ? "stderr" : "stdout";
    const bytes = Buffer.from(this.#files[name]);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1]);
    if (from >= bytes.length) return void response.writeHead(416).end();
    response.writeHead(206).end(bytes.subarray(from, from + 7)); // small pieces, so that a reader has to ask again
  }
}
