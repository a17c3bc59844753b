// `bench -- ready`: from `mesoflare start` on a new state directory to a registered agent.
import { LocalCluster } from "./local-cluster.ts";
import { percentile, rounded, type Report } from "./report.ts";

const RUNS = 3;

export async function ready(): Promise<Report> {
  const seconds: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const cluster = await LocalCluster.start();
    seconds.push(cluster.readySeconds);
    await cluster.stop();
  }
  return {
    bench: "ready",
    method: `'mesoflare start' on a new state directory until one agent is registered; the median of ${RUNS} runs`,
    figures: [{ name: "ready_s", value: rounded(percentile(seconds, 0.5)), unit: "s", aim: 5 }],
  };
}
