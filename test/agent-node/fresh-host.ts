// A plane that obeys and a host of its own for each test of a file, given back when the test is over.
import { afterEach, beforeEach, vi } from "vitest";
import { AgentHost } from "./agent-process.ts";
import { FakePlane } from "./fake-plane.ts";

/** Of the test that runs. */
export let plane: FakePlane;
export let host: AgentHost;

/** What its agents said is shown when the test has failed. */
export function onFreshHosts(): void {
  // Real processes on a busy machine take their time; nothing here waits longer than it must.
  vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });
  beforeEach(async () => {
    plane = await FakePlane.start();
    host = new AgentHost();
  });
  afterEach(async (context) => {
    if (context.task.result?.state === "fail") process.stderr.write(host.output);
    await host.cleanUp();
    await plane.stop();
  });
}

/** The plane was ended, and begins again where it was. */
export async function restartPlane(port: number): Promise<void> {
  plane = await FakePlane.start(port);
}
