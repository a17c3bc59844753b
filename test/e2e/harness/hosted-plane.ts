// A plane inside the test's own process, of a Worker that the test has changed, so that it can reach into the objects.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { initialise } from "../../../cli/initialise.ts";
import { Plane } from "../../../cli/plane.ts";
import { StateDirectory } from "../../../cli/start/state-directory.ts";
import { freePort, onEnd, REPOSITORY, temporaryDirectory } from "./workspace.ts";

export class HostedPlane {
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

  /** `entry`: a file in test/e2e. `variables`: of the Worker, beside the usual ones. */
  static async start(entry: string, variables: Readonly<Record<string, string>> = {}): Promise<HostedPlane> {
    const directory = await temporaryDirectory();
    const worker = join(directory, "worker.js");
    await build({
      entryPoints: [join(REPOSITORY, "test/e2e", entry)],
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
        ...variables,
      },
      host: "127.0.0.1",
      port,
      cf: false,
    });
    onEnd(() => miniflare.dispose());
    await miniflare.ready;
    const result = await initialise(operator, randomUUID());
    if (result.type !== "initialised") throw new Error(result.reason);
    return new HostedPlane(url, state, operator, miniflare);
  }

  /** Asks an object itself, past the Worker. */
  async ask(namespace: "REPLICA" | "MASTER" | "GATEWAY", name: string, path: string, method = "GET"): Promise<unknown> {
    const objects = await this.#miniflare.getDurableObjectNamespace(namespace);
    const answer = await objects.get(objects.idFromName(name)).fetch(`http://object${path}`, { method });
    return answer.status === 204 ? undefined : await answer.json();
  }
}
