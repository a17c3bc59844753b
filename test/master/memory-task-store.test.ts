import { MemoryTaskStore } from "../../src/master/memory-task-store.ts";
import { taskStoreContract } from "../contracts/task-store.ts";

taskStoreContract((run) => {
  const store = new MemoryTaskStore();
  run({ store, reopen: () => store });
});
