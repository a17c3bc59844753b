// The contract of LogStorage on the SQLite of a real object.
import { env, runInDurableObject } from "cloudflare:test";
import type { Env } from "../../src/durable-objects/env.ts";
import { SqlLogStorage } from "../../src/durable-objects/sql-log-storage.ts";
import { logStorageContract } from "../contracts/log-storage.ts";

const { REPLICA } = env as unknown as Env;
let objects = 0;

logStorageContract((run) =>
  // A replica of its own for each test: no leader knows its name, so nobody else writes there.
  runInDurableObject(REPLICA.get(REPLICA.idFromName(`storage-${++objects}`)), (_, { storage }) => {
    run({
      storage: new SqlLogStorage(storage),
      reopen: () => new SqlLogStorage(storage),
      damage: (at) => {
        storage.sql.exec("UPDATE log_record SET counter = counter + 1 WHERE position = ?", at);
      },
    });
  }),
);
