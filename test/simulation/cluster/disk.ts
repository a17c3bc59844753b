// The storage of one object: SQLite itself, in memory, behind the platform's interface. What is written is durable at once: the
// platform holds back whatever leaves until it is. It outlives instances; an instance that has died writes nothing more.
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { Isolate } from "./isolate.ts";

export class Disk {
  readonly #database = new DatabaseSync(":memory:");
  readonly #statements = new Map<string, StatementSync>();
  readonly values = new Map<string, unknown>();
  /** When the alarm rings, true time. */
  alarmAt: number | undefined;

  /** Whether an instance has lived long enough to make its tables. */
  get isMade(): boolean {
    return this.#database.prepare("SELECT name FROM sqlite_master WHERE name = 'meta'").all().length > 0;
  }

  execute(query: string, bindings: readonly SQLInputValue[]): readonly unknown[] {
    if (query.includes(";")) {
      this.#database.exec(query);
      return [];
    }
    let statement = this.#statements.get(query);
    if (statement === undefined) this.#statements.set(query, (statement = this.#database.prepare(query)));
    if (query.startsWith("SELECT")) return statement.all(...bindings);
    statement.run(...bindings);
    return [];
  }
}

export interface StorageOptions {
  readonly disk: Disk;
  readonly isolate: Isolate;
  /** False when another instance has the object: the storage is no longer this one's, and the first touch of it ends it. */
  readonly isOwner: () => boolean;
  /** The alarm was set. */
  readonly onAlarm: () => void;
  /** Just before a transaction is written, and just after: the instance may die there. */
  readonly onTransaction: (isolate: Isolate) => void;
}

/** `DurableObjectStorage`, as far as the objects use it. */
export function storageOf({ disk, isolate, isOwner, onAlarm, onTransaction }: StorageOptions) {
  const touches = (): boolean => {
    if (isolate.isAlive && !isOwner()) isolate.die();
    return isolate.isAlive;
  };
  const whileAlive = (write: () => void): void => {
    if (touches()) write();
  };
  return {
    sql: {
      exec(query: string, ...bindings: SQLInputValue[]) {
        if (touches()) return rowsOf(disk.execute(query, bindings));
        // The dead write nothing. What they read leads nowhere, but for its first tables an object reads before it has made them.
        return rowsOf(query.startsWith("SELECT") && disk.isMade ? disk.execute(query, bindings) : []);
      },
    },
    transactionSync<T>(run: () => T): T {
      if (touches()) onTransaction(isolate);
      const wasAlive = isolate.isAlive;
      if (wasAlive) disk.execute("BEGIN", []);
      try {
        const result = run();
        if (wasAlive) disk.execute("COMMIT", []);
        return result;
      } catch (error) {
        if (wasAlive) disk.execute("ROLLBACK", []);
        throw error;
      } finally {
        onTransaction(isolate);
      }
    },
    kv: {
      get: (name: string) => disk.values.get(name),
      put: (name: string, value: unknown) => whileAlive(() => void disk.values.set(name, structuredClone(value))),
      delete: (name: string) => whileAlive(() => void disk.values.delete(name)),
    },
    getAlarm: async () => (!touches() || disk.alarmAt === undefined ? null : disk.alarmAt + isolate.clock.skewMs),
    setAlarm: async (at: number) =>
      whileAlive(() => {
        disk.alarmAt = at - isolate.clock.skewMs;
        onAlarm();
      }),
    sync: async () => undefined,
  };
}

const rowsOf = (rows: readonly unknown[]) => ({
  toArray: () => rows,
  [Symbol.iterator]: () => rows[Symbol.iterator](),
});
