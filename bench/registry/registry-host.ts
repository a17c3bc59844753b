// The registry bench's Worker.
import { holdWorker } from "../worker-host.ts";

await holdWorker({
  source: new URL("registry-worker.ts", import.meta.url),
  objects: { REPLICA: "ReplicaDO", CANDIDATE: "CandidateDO" },
  bindings: { REPLICAS: "3" },
});
