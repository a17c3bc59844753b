import { expect, test } from "vitest";
import type { Incarnation } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import { emptyMetadata } from "#log/storage.ts";
import { logStorageContract } from "../contracts/log-storage.ts";
import { ballot, record } from "./sample.ts";

logStorageContract((run) => {
  const storage = new MemoryLogStorage();
  run({
    storage,
    reopen: () => storage,
    damage: (at) => storage.damage(at),
    damageMetadata: () => storage.damageMetadata(),
  });
});

test("[L4] a copy is a disk of its own: what happens to one is not seen in the other", () => {
  const storage = new MemoryLogStorage();
  storage.persist([
    { type: "persist-records", records: [record(1, ballot(1)), record(2, ballot(1))] },
    { type: "persist-metadata", metadata: emptyMetadata("life 1" as Incarnation) },
  ]);
  const copy = storage.copy();
  storage.persist([{ type: "drop-from", from: position(1) }]);
  storage.damageMetadata();
  expect(copy.end()).toBe(2);
  expect(copy.load()).toMatchObject({ type: "metadata", metadata: { incarnation: "life 1" } });
  copy.damage(position(1));
  expect(copy.copy().page(position(1), { entriesMax: 1, lettersMax: 1 }).type).toBe("corrupt");
});
