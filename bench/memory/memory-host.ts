// The memory bench's Worker, with its inspector.
import { holdWorker } from "../worker-host.ts";

await holdWorker({ source: new URL("memory-worker.ts", import.meta.url), objects: { MASTER: "MemoryDO" } });
