// What a local cluster keeps on disk, and under which names (docs/architecture.md, "Local cluster").
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { contextSchema, formatVerifiers, type Context } from "#protocol/credentials.ts";
import { describeIssue } from "#protocol/json.ts";
import type { Principal } from "#protocol/ids.ts";
import { makeCredential, toJsonFile, writePrivate } from "../credentials.ts";
import { Failure, reasonOf } from "../failure.ts";

const OWNER_ONLY_DIRECTORY = 0o700;

const clusterSchema = v.object({ cluster_id: v.pipe(v.string(), v.uuid()), replicas: v.picklist([3, 5]) });
export type LocalCluster = v.InferOutput<typeof clusterSchema>;

export class StateDirectory {
  readonly path: string;
  readonly context: string;
  readonly agentCredential: string;
  readonly verifiers: string;
  /** There once the log is bootstrapped. */
  readonly cluster: string;
  /** What {@link cluster} will be: there while a bootstrap may have begun. */
  readonly bootstrap: string;
  readonly lock: string;
  readonly plane: string;
  readonly planeLog: string;

  constructor(path: string) {
    this.path = path;
    this.context = join(path, "context.json");
    this.agentCredential = join(path, "agent.json");
    this.verifiers = join(path, "verifiers.json");
    this.cluster = join(path, "cluster.json");
    this.bootstrap = join(path, "bootstrap.json");
    this.lock = join(path, "lock.json");
    this.plane = join(path, "plane");
    this.planeLog = join(path, "plane.log");
  }

  agent(name: string): { readonly workDirectory: string; readonly log: string } {
    const workDirectory = join(this.path, "agents", name);
    return { workDirectory, log: join(workDirectory, "agent.log") };
  }

  async make(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true, mode: OWNER_ONLY_DIRECTORY });
      await mkdir(this.plane, { recursive: true, mode: OWNER_ONLY_DIRECTORY });
    } catch (error) {
      throw new Failure(`cannot use ${this.path} as the state directory: ${reasonOf(error)}`);
    }
  }

  /** The cluster that lives here, or was about to; undefined in a new directory. */
  async readCluster(): Promise<{ readonly cluster: LocalCluster; readonly bootstrapped: boolean } | undefined> {
    for (const path of [this.cluster, this.bootstrap]) {
      if (existsSync(path))
        return { cluster: await readJson(path, clusterSchema), bootstrapped: path === this.cluster };
    }
    return undefined;
  }

  /** Writes the new cluster's id down before the plane hears of it, so that an interrupted bootstrap can be finished. */
  async planCluster(replicas: 3 | 5): Promise<LocalCluster> {
    const cluster: LocalCluster = { cluster_id: randomUUID(), replicas };
    await writePrivate(this.bootstrap, toJsonFile(cluster));
    return cluster;
  }

  async markBootstrapped(): Promise<void> {
    await rename(this.bootstrap, this.cluster);
  }

  /** The command line's context, with the plane's present URL. Makes both principals when there is none. */
  async prepareCredentials(planeUrl: string): Promise<Context> {
    if (!existsSync(this.context)) await this.#makeCredentials(planeUrl);
    const context = await readJson(this.context, contextSchema);
    if (context.plane === planeUrl) return context;
    const moved = { ...context, plane: planeUrl };
    await writePrivate(this.context, toJsonFile(moved));
    return moved;
  }

  /** The context last: while it is missing, the others may be made again. */
  async #makeCredentials(planeUrl: string): Promise<void> {
    const agent = await makeCredential("agent" as Principal, "agent");
    const operator = await makeCredential("operator" as Principal, "operator");
    await writePrivate(this.verifiers, `${formatVerifiers([agent.verifier, operator.verifier])}\n`);
    await writePrivate(this.agentCredential, toJsonFile({ principal: agent.principal, secret: agent.secret }));
    await writePrivate(
      this.context,
      toJsonFile({ plane: planeUrl, principal: operator.principal, secret: operator.secret }),
    );
  }
}

async function readJson<const S extends v.GenericSchema>(path: string, schema: S): Promise<v.InferOutput<S>> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new Failure(`cannot read ${path}: ${(error as Error).message}`);
  }
  const result = v.safeParse(schema, json);
  if (!result.success) throw new Failure(`${path} is damaged: ${describeIssue(result.issues)}`);
  return result.output;
}
