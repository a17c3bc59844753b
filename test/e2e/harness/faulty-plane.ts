// A plane whose replicas and masters stop answering when the test says so.
import { HostedPlane } from "./hosted-plane.ts";

const FAULT = "/fault";

export class FaultyPlane {
  readonly #hosted: HostedPlane;

  private constructor(hosted: HostedPlane) {
    this.#hosted = hosted;
  }

  /** `variables`: of the Worker, beside the usual ones. */
  static async start(variables: Readonly<Record<string, string>> = {}): Promise<FaultyPlane> {
    return new FaultyPlane(await HostedPlane.start("faulty-worker.js", variables));
  }

  get url(): HostedPlane["url"] {
    return this.#hosted.url;
  }

  get state(): HostedPlane["state"] {
    return this.#hosted.state;
  }

  get operator(): HostedPlane["operator"] {
    return this.#hosted.operator;
  }

  /** Replicas are numbered from 1. */
  async breakReplica(number: number): Promise<void> {
    await this.#hosted.ask("REPLICA", `replica-${number}`, FAULT, "PUT");
  }

  async mendReplica(number: number): Promise<void> {
    await this.#hosted.ask("REPLICA", `replica-${number}`, FAULT, "DELETE");
  }

  /** From now on nobody reaches this candidate. */
  async breakMaster(number: number): Promise<void> {
    await this.#hosted.ask("MASTER", `master-${number}`, FAULT, "PUT");
  }
}
