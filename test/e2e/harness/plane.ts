// A plane of its own for one test, in processes that can be killed the hard way.
import { randomUUID } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Context } from "#protocol/credentials.ts";
import { initialise } from "../../../cli/initialise.ts";
import { Plane } from "../../../cli/plane.ts";
import { PlaneProcess } from "../../../cli/start/plane-process.ts";
import { end } from "../../../cli/start/processes.ts";
import { StateDirectory } from "../../../cli/start/state-directory.ts";
import { built, freePort, onEnd, temporaryDirectory } from "./workspace.ts";

export class TestPlane {
  readonly state: StateDirectory;
  readonly port: number;
  readonly url: string;
  #process: PlaneProcess | undefined;
  #context: Context | undefined;
  readonly #variables: Readonly<Record<string, string>>;

  private constructor(state: StateDirectory, port: number, variables: Readonly<Record<string, string>>) {
    this.state = state;
    this.port = port;
    this.#variables = variables;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** A plane as `wrangler deploy` leaves it: listening, never used, and without a cluster id. */
  static async deploy(variables: Readonly<Record<string, string>> = {}): Promise<TestPlane> {
    const state = new StateDirectory(join(await temporaryDirectory(), "state"));
    await state.make();
    const plane = new TestPlane(state, await freePort(), variables);
    onEnd(() => plane.stop());
    await plane.boot();
    return plane;
  }

  /** A plane on a state directory that is there already. */
  static async on(directory: string): Promise<TestPlane> {
    const plane = new TestPlane(new StateDirectory(directory), await freePort(), {});
    onEnd(() => plane.stop());
    await plane.boot();
    return plane;
  }

  /** A plane that was never used before, bootstrapped. `variables`: of the Worker, beside the usual ones. */
  static async start(variables: Readonly<Record<string, string>> = {}): Promise<TestPlane> {
    const plane = await TestPlane.deploy(variables);
    const result = await initialise(plane.operator, randomUUID());
    if (result.type !== "initialised") throw new Error(result.reason);
    return plane;
  }

  /** For the operator's endpoints. */
  get operator(): Plane {
    if (this.#context === undefined) throw new Error("the plane was not started");
    return new Plane(this.#context);
  }

  /** `credentials`: the Worker's secret, instead of the verifiers in the state directory. */
  async boot({ credentials }: { readonly credentials?: string } = {}): Promise<void> {
    this.#context = await this.state.prepareCredentials(this.url);
    const bindings = {
      REPLICAS: "3",
      GATEWAYS: "1",
      AUTHENTICATE_HTTP_READONLY: "true",
      CREDENTIALS: credentials ?? (await readFile(this.state.verifiers, "utf8")),
      ADVERTISE: `127.0.0.1:${this.port}`,
      ...this.#variables,
    };
    this.#process = await PlaneProcess.start(
      { worker: built("worker.js"), port: this.port, persist: this.state.plane, bindings },
      this.state.planeLog,
    );
  }

  /** What the masters cached is lost, as when another candidate takes over: only the log is left of the plane. Call it while killed. */
  async forgetMasters(): Promise<void> {
    for (const entry of await readdir(this.state.plane, { recursive: true, withFileTypes: true })) {
      if (entry.isDirectory() && entry.name.endsWith("MasterDO"))
        await rm(join(entry.parentPath, entry.name), { recursive: true });
    }
  }

  /** For a framework of the test's own. */
  get context(): Context {
    if (this.#context === undefined) throw new Error("the plane was not started");
    return this.#context;
  }

  /** kill -9 of workerd and of the process that holds it, as a power cut would. */
  async killHard(): Promise<void> {
    // The host first: miniflare starts another workerd when its own dies, and that one would keep the port.
    for (const identity of [this.#process?.host, this.#process?.workerd]) {
      if (identity !== undefined) await end(identity, "SIGKILL", 5000);
    }
    this.#process = undefined;
  }

  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = undefined;
  }

  log(): Promise<string> {
    return readFile(this.state.planeLog, "utf8");
  }
}
