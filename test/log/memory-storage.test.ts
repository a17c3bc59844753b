import { MemoryLogStorage } from "#log/memory-storage.ts";
import { logStorageContract } from "../contracts/log-storage.ts";

logStorageContract((run) => {
  const storage = new MemoryLogStorage();
  run({ storage, reopen: () => storage, damage: (at) => storage.damage(at) });
});
