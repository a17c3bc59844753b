// A plane without agents on a new state directory, in processes that can be killed the hard way.
import { randomInt, randomUUID } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { present } from "#base/assert.ts";
import { type Context, type Credential, credentialSchema } from "#protocol/credentials.ts";
import { initialise } from "../cli/initialise.ts";
import { Plane } from "../cli/plane.ts";
import { isPortFree, PlaneProcess } from "../cli/start/plane-process.ts";
import { end } from "../cli/start/processes.ts";
import { StateDirectory } from "../cli/start/state-directory.ts";
import { watchRss } from "./local-cluster.ts";

/** Another build can be measured against this one. */
const WORKER = process.env["BENCH_WORKER"] ?? fileURLToPath(new URL("../dist/worker.js", import.meta.url));
const KILL_MS_MAX = 5_000;

export class BenchPlane {
  readonly url: string;
  readonly #port: number;
  readonly #directory: string;
  readonly #gateways: number;
  readonly #state: StateDirectory;
  #process: PlaneProcess | undefined;
  #rss: { readonly stop: () => number } | undefined;
  #largestRssMb = 0;
  #context: Context | undefined;

  private constructor(directory: string, port: number, gateways: number) {
    this.#directory = directory;
    this.#port = port;
    this.#gateways = gateways;
    this.#state = new StateDirectory(join(directory, "state"));
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Bootstrapped, and nobody has registered. */
  static async start({ gateways }: { readonly gateways: number }): Promise<BenchPlane> {
    const plane = new BenchPlane(await mkdtemp(join(tmpdir(), "mesoflare-bench-")), await freePort(), gateways);
    await plane.#state.make();
    await plane.boot();
    const context = await plane.#state.prepareCredentials(plane.url);
    plane.#context = context;
    const result = await initialise(new Plane(context), randomUUID());
    if (result.type !== "initialised") throw new Error(result.reason);
    return plane;
  }

  /** Resolves when it listens. */
  async boot(): Promise<void> {
    await this.#state.prepareCredentials(this.url);
    const bindings = {
      REPLICAS: "3",
      GATEWAYS: String(this.#gateways),
      AUTHENTICATE_HTTP_READONLY: "false",
      CREDENTIALS: await readFile(this.#state.verifiers, "utf8"),
      ADVERTISE: `127.0.0.1:${this.#port}`,
    };
    const options = { worker: WORKER, port: this.#port, persist: this.#state.plane, bindings };
    this.#process = await PlaneProcess.start(options, this.#state.planeLog);
    this.#rss = watchRss(this.#process.workerd?.pid ?? 0);
  }

  /** What operators and frameworks authenticate with. */
  get context(): Context {
    return present(this.#context, "the context of a plane that has started");
  }

  /** What agents authenticate with. */
  async agentCredential(): Promise<Credential> {
    return v.parse(credentialSchema, JSON.parse(await readFile(this.#state.agentCredential, "utf8")));
  }

  /** kill -9 of workerd and of the process that holds it: every socket and every object is gone at once. */
  async killHard(): Promise<void> {
    this.#noteRss();
    // The host first: it starts another workerd when its own dies, and that one would keep the port.
    for (const identity of [this.#process?.host, this.#process?.workerd]) {
      if (identity === undefined) continue;
      // Either ends by itself when the other is gone.
      if (!(await end(identity, "SIGKILL", KILL_MS_MAX))) throw new Error(`process ${identity.pid} does not end`);
    }
    this.#process = undefined;
  }

  /** A stopped plane's masters lose their storage: whoever leads next begins a new epoch, from the log alone. */
  async forgetMasters(): Promise<void> {
    const classes = await readdir(this.#state.plane);
    const masters = classes.filter((name) => name.endsWith("MasterDO"));
    if (masters.length !== 1) throw new Error(`the masters' storage is not among ${classes.join(", ")}`);
    for (const name of masters) await rm(join(this.#state.plane, name), { recursive: true });
  }

  /** As `/metrics/snapshot` has it. */
  async metrics(): Promise<Readonly<Record<string, number>>> {
    const response = await fetch(`${this.url}/metrics/snapshot`);
    return v.parse(v.record(v.string(), v.number()), await response.json());
  }

  get workerdPid(): number {
    return this.#process?.workerd?.pid ?? 0;
  }

  /** The largest resident set that workerd had in any of its lives, MB. */
  largestRssMb(): number {
    this.#noteRss();
    return this.#largestRssMb;
  }

  #noteRss(): void {
    this.#largestRssMb = Math.max(this.#largestRssMb, this.#rss?.stop() ?? 0);
    this.#rss = undefined;
  }

  async stop(): Promise<void> {
    this.#noteRss();
    await this.#process?.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Below the ports that the kernel gives away: while the plane is dead, one of ten thousand agents would get its port. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    if (await isPortFree(port)) return port;
  }
}
