// Plane and one agent, registered: where most end-to-end tests begin.
import { TestAgent } from "./agent.ts";
import { mesoflare, startMesoflare, type Command, type Result } from "./command.ts";
import { TestPlane } from "./plane.ts";

export interface Cluster {
  readonly plane: TestPlane;
  readonly agent: TestAgent;
  /** `mesoflare …` to its end. */
  readonly run: (...args: readonly string[]) => Promise<Result>;
  /** `mesoflare …` in the background. */
  readonly start: (...args: readonly string[]) => Command;
}

export async function startCluster(): Promise<Cluster> {
  const plane = await TestPlane.start();
  const agent = await TestAgent.start({ plane: plane.url, credential: plane.state.agentCredential });
  await agent.registered(plane.operator);
  const { context } = plane.state;
  return {
    plane,
    agent,
    run: (...args) => mesoflare(context, ...args),
    start: (...args) => startMesoflare(context, ...args),
  };
}
