// The Worker of the log bench and of the log's crash test.
import { holdWorker } from "../worker-host.ts";

await holdWorker({
  source: new URL("writer-worker.ts", import.meta.url),
  objects: { REPLICA: "ReplicaDO", WRITER: "WriterDO" },
  bindings: { REPLICAS: "3" },
});
