// An agent process as it was built, which a test may kill and start again on the same work directory.
import { join } from "node:path";
import { expect } from "vitest";
import { hasRegisteredSince, listAgents, type AgentJson } from "../../../cli/mesos-json.ts";
import type { Plane } from "../../../cli/plane.ts";
import { Command } from "./command.ts";
import { built, onEnd, temporaryDirectory } from "./workspace.ts";

export interface AgentOptions {
  readonly plane: string;
  readonly credential: string;
  readonly hostname?: string;
  readonly resources?: string;
  /** Default: the one that runs the tests, and the agent that was built here. */
  readonly node?: string;
  readonly program?: string;
  /** One that is there already. */
  readonly workDirectory?: string;
}

export class TestAgent {
  readonly hostname: string;
  readonly workDirectory: string;
  readonly #options: AgentOptions;
  command: Command;

  private constructor(options: AgentOptions, workDirectory: string) {
    this.#options = options;
    this.hostname = options.hostname ?? "test-agent";
    this.workDirectory = workDirectory;
    this.command = this.#spawn();
  }

  static async start(options: AgentOptions): Promise<TestAgent> {
    return new TestAgent(options, options.workDirectory ?? join(await temporaryDirectory(), "work"));
  }

  #spawn(): Command {
    const {
      plane,
      credential,
      resources = "cpus:8;mem:4096",
      node = process.execPath,
      program = built("mesoflare-agent.js"),
    } = this.#options;
    const flags = {
      plane,
      credential,
      "work-dir": this.workDirectory,
      port: "0",
      hostname: this.hostname,
      resources,
    };
    const command = new Command(node, [
      program,
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]),
    ]);
    onEnd(() => command.leave("SIGUSR1")); // with its tasks, and before the command's own end, which leaves them
    return command;
  }

  async restart(): Promise<void> {
    await this.command.leave("SIGTERM");
    this.command = this.#spawn();
  }

  async killHard(): Promise<void> {
    await this.command.leave("SIGKILL");
  }

  startAgain(): void {
    this.command = this.#spawn();
  }

  /** Waits until the plane lists it as active, by a registration after `since`, ms. */
  async registered(plane: Plane, { timeout = 20_000, since = 0 } = {}): Promise<AgentJson> {
    let found: AgentJson | undefined;
    const find = async (): Promise<boolean> => {
      if (this.command.ended) throw new Error(`the agent has exited:\n${this.command.stdout}${this.command.stderr}`);
      const known = await listAgents(plane).catch(() => []);
      found = known.find((one) => one.hostname === this.hostname && hasRegisteredSince(one, since));
      return found !== undefined;
    };
    await expect.poll(find, { timeout, interval: 50 }).toBe(true);
    if (found === undefined) throw new Error("not registered");
    return found;
  }
}
