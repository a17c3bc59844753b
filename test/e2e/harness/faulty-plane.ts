// A plane inside the test's own process, whose replicas and masters stop answering when the test says so.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { initialise } from "../../../cli/initialise.ts";
import { Plane } from "../../../cli/plane.ts";
import { StateDirectory } from "../../../cli/start/state-directory.ts";
import { freePort, onEnd, REPOSITORY, temporaryDirectory } from "./workspace.ts";

export class FaultyPlane {
  readonly url: string;
  readonly state: StateDirectory;
  readonly operator: Plane;
  readonly #miniflare: Miniflare;

  private constructor(url: string, state: StateDirectory, operator: Plane, miniflare: Miniflare) {
    this.url = url;
    this.state = state;
    this.operator = operator;
    this.#miniflare = miniflare;
  }

  /** `bindings`: what the deployment sets besides. */
  static async start(bindings: Readonly<Record<string, string>> = {}): Promise<FaultyPlane> {
    const directory = await temporaryDirectory();
    const worker = join(directory, "worker.js");
    await build({
      entryPoints: [join(REPOSITORY, "test/e2e/faulty-worker.js")],
      outfile: worker,
      bundle: true,
      format: "esm",
      platform: "neutral",
      mainFields: ["module", "main"],
      conditions: ["workerd", "worker", "import"],
      external: ["cloudflare:workers", "node:*"],
      logLevel: "error",
    });
    const state = new StateDirectory(join(directory, "state"));
    await state.make();
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const operator = new Plane(await state.prepareCredentials(url));
    const storage = (className: string) => ({ className, useSQLite: true });
    const miniflare = new Miniflare({
      modulesRoot: directory,
      modules: [{ type: "ESModule", path: worker }],
      compatibilityDate: "2026-07-30",
      durableObjects: { REPLICA: storage("ReplicaDO"), MASTER: storage("MasterDO"), GATEWAY: storage("GatewayDO") },
      bindings: {
        REPLICAS: "3",
        GATEWAYS: "1",
        CREDENTIALS: await readFile(state.verifiers, "utf8"),
        ADVERTISE: `127.0.0.1:${port}`,
        ...bindings,
      },
      host: "127.0.0.1",
      port,
      cf: false,
    });
    onEnd(() => miniflare.dispose());
    await miniflare.ready;
    const result = await initialise(operator, randomUUID());
    if (result.type !== "initialised") throw new Error(result.reason);
    return new FaultyPlane(url, state, operator, miniflare);
  }

  /** Replicas are numbered from 1. */
  breakReplica(number: number): Promise<void> {
    return this.#setFault(number, "PUT");
  }

  mendReplica(number: number): Promise<void> {
    return this.#setFault(number, "DELETE");
  }

  /** From now on nobody reaches this candidate. */
  async breakMaster(number: number): Promise<void> {
    const masters = await this.#miniflare.getDurableObjectNamespace("MASTER");
    await masters.get(masters.idFromName(`master-${number}`)).fetch("http://master/fault", { method: "PUT" });
  }

  async #setFault(number: number, method: "PUT" | "DELETE"): Promise<void> {
    const replicas = await this.#miniflare.getDurableObjectNamespace("REPLICA");
    await replicas.get(replicas.idFromName(`replica-${number}`)).fetch("http://replica/fault", { method });
  }
}
