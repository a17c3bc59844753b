// The audit trail over three real replicas in memory that hold what Registrars wrote, with snapshots every few entries.
import { describe, expect, test } from "vitest";
import { present } from "#base/assert.ts";
import { append } from "#log/append.ts";
import { elect } from "#log/elect.ts";
import { type Entry, position, type ReplicaId } from "#log/entry.ts";
import type { FrameworkId, MasterId, Principal } from "#protocol/ids.ts";
import { history, PART_RECORDS_MAX, registryAt } from "#registrar/audit.ts";
import type { HistoryCall, RegistryAnswer, RegistryCall } from "#registrar/calls.ts";
import { encodeEntry, type SnapshotEntry } from "#registrar/codec.ts";
import type { RegistryOperation } from "#registrar/operations.ts";
import { emptyRegistry } from "#registrar/registry.ts";
import { applyEntry, createReplay } from "#registrar/replay.ts";
import { shownRegistry } from "#registrar/shown.ts";
import { TestCluster } from "../log/cluster.ts";
import { ballot, CLUSTER, ELECTORATE, OTHER_CLUSTER, R1, R2, R3, REPLICAS, write } from "../log/sample.ts";
import { MemoryLog } from "./memory-log.ts";
import { admit, agentId, info, leader, leaderEntry, operationsUnder, TestRegistrar, text, update } from "./sample.ts";

const at = (operation: RegistryOperation) => ({
  operation,
  audit: { ...admit(1).audit, who: "operator", why: "asked" },
});
const call = <Extra>(extra: Extra) => ({ clusterId: CLUSTER, ...extra });
const registry = (cluster: TestCluster, extra: Partial<RegistryCall> = {}) =>
  cluster.call(registryAt(call(extra), REPLICAS));
const historyOf = (cluster: TestCluster, extra: Partial<HistoryCall> = {}) =>
  cluster.call(history(call(extra), REPLICAS));

/** Three replicas that hold these entries from position 2 on. */
function clusterOf(entries: readonly Entry[]): TestCluster {
  const cluster = new TestCluster();
  const by = ballot(1);
  cluster.call(elect({ clusterId: CLUSTER, ballot: by, from: position(1) }, REPLICAS));
  for (const [index, entry] of entries.entries()) {
    const where = position(index + 2);
    cluster.call(append({ clusterId: CLUSTER, ballot: by, electorate: ELECTORATE, position: where, entries: [entry] }));
  }
  cluster.forget();
  return cluster;
}

const quotaOf = (role: string) => ({
  role,
  guarantees: [{ name: "cpus", value: 1 }],
  limits: [{ name: "cpus", value: 2 }],
});

const SNAPSHOTS = { lettersMin: 800, chunkLettersMax: 500, historyLettersMin: Infinity };

/** What two leaders wrote, one after the other. */
function written(historyLettersMin = Infinity): readonly Entry[] {
  const log = new MemoryLog();
  for (const nonce of ["first", "second"]) {
    const snapshots = { ...SNAPSHOTS, historyLettersMin };
    const tested = new TestRegistrar({ nonce, newMasterId: () => nonce as MasterId, snapshots });
    log.elect(tested);
    const base = nonce === "first" ? 0 : 20;
    const operations = [
      ...Array.from({ length: 12 }, (_, n) => admit(base + n)),
      update(base, info("renamed")),
      at({ type: "mark-agent-unreachable", agentId: agentId(base + 1) }),
      at({ type: "mark-agent-gone", agentId: agentId(base + 2) }),
      at({ type: "remove-agent", agentId: agentId(base + 3), strict: true }),
      at({ type: "prune", unreachable: [agentId(base + 1)], gone: [] }),
      at({ type: "remove-framework", frameworkId: `f${base}` as FrameworkId }),
      at({
        type: "set-credential",
        principal: "p" as Principal,
        role: "agent",
        verifier: {
          salt: "the salt",
          iterations: 4_096,
          storedKey: `the stored key ${base}`,
          serverKey: "the server key",
        },
      }),
      at({
        type: "register-framework",
        frameworkId: `g${base}` as FrameworkId,
        principal: "p" as Principal,
        failoverTimeoutMs: base,
      }),
      at({ type: "update-weights", infos: [{ role: "r", weight: base + 1 }] }),
      at({ type: "update-quota", configs: [quotaOf(`q${base}`)] }),
    ];
    for (const [id, audited] of operations.entries()) log.drive(tested, { type: "apply", id, audited });
  }
  if (log.begin > 1) throw new Error("the entries before were dropped");
  return log
    .entries()
    .slice(1)
    .map(({ entry }) => entry);
}

/** What is shown after each position, by plain replay from the first entry. */
function expected(entries: readonly Entry[]) {
  const replay = createReplay(emptyRegistry());
  replay.next = position(2);
  return entries.map((entry, index) => {
    applyEntry(replay, { position: position(index + 2), entry });
    return { registry: structuredClone(shownRegistry(replay.registry)), leader: replay.registry.leader };
  });
}

describe("[R26] the registry at a position", () => {
  test("at each position it is what a replay from the first entry gives", () => {
    const entries = written();
    const cluster = clusterOf(entries);
    expect(registry(cluster, { at: position(1) })).toMatchObject({ type: "registry", at: 1, leader: undefined });
    for (const [index, { registry: shown, leader: by }] of expected(entries).entries()) {
      const answer = registry(cluster, { at: position(index + 2) });
      expect(answer).toEqual({
        type: "registry",
        at: index + 2,
        leader: by,
        registry: shown,
        next: undefined,
        begin: 1,
        decidedTo: entries.length + 2,
        end: entries.length + 1,
      });
    }
    expect(registry(cluster)).toEqual(registry(cluster, { at: position(entries.length + 1) }));
  });

  test("one agent only, and nothing of anybody else", () => {
    const entries = written();
    const answer = registry(clusterOf(entries), { agent: agentId(22) });
    expect(answer).toMatchObject({
      registry: {
        admitted: [],
        unreachable: [],
        gone: [{ agentId: agentId(22) }],
        credentials: [],
        registeredFrameworks: [],
        weights: [],
        quotas: [],
      },
    });
    expect(JSON.stringify(answer)).not.toContain(agentId(23));
  });

  test("it begins to read at a snapshot, as soon as there is one before the position", () => {
    const entries = written();
    const cluster = clusterOf(entries);
    registry(cluster);
    const asked = cluster.sentOf("read").map(({ message }) => (message.type === "read" ? message.from : 0));
    const first = entries.findIndex((entry) => entry.type === "append" && entry.data.includes('"type":"snapshot"')) + 2;
    expect(Math.min(...asked)).toBeGreaterThan(first);
  });

  test("before where history begins, and beyond what is decided, it says so", () => {
    const entries = written();
    const snapshots = entries.flatMap((entry, index) =>
      entry.type === "append" && /"type":"snapshot".*"chunk":0,/.test(entry.data) ? [index + 2] : [],
    );
    const begin = present(snapshots[1], "a second snapshot");
    const cluster = clusterOf([
      ...entries,
      { type: "truncate", to: position(begin) },
      operationsUnder(present(expected(entries).at(-1)?.leader, "a leader")),
    ]);
    const all = expected(entries);
    for (let where = begin; where < entries.length + 2; where++) {
      const answer = registry(cluster, { at: position(where) });
      // Among the chunks of the snapshot that the log begins with there is nothing to show yet.
      if (answer.type === "unanswerable") {
        expect(answer.reason).toContain(`history begins with the snapshot at ${begin}`);
        expect(where).toBeLessThan(begin + 8);
      } else expect(answer).toMatchObject({ begin, registry: all[where - 2]?.registry });
    }
    expect(registry(cluster, { at: position(begin - 1) })).toEqual({
      type: "unanswerable",
      reason: `entry ${begin - 1} is not kept any more: history begins with the snapshot at ${begin}`,
    });
    expect(registry(cluster, { at: position(9_999) })).toEqual({
      type: "unanswerable",
      reason: `there is no entry 9999 yet: the log ends at ${entries.length + 3}`,
    });
  });

  test("an entry that this release cannot apply is named, and what is before it can still be shown", () => {
    const newer = text(JSON.stringify({ v: 9, type: "surprise", leader: leader(2) }));
    const cluster = clusterOf([leaderEntry(), operationsUnder(leader(2), admit(1)), newer]);
    expect(registry(cluster)).toEqual({
      type: "unanswerable",
      reason: expect.stringContaining("entry at 4: it is of version 9"),
    });
    expect(registry(cluster, { at: position(3) })).toMatchObject({ registry: { admitted: [{ agentId: agentId(1) }] } });
  });

  test("a large registry is told in parts, which together are the whole", () => {
    const count = 2 * PART_RECORDS_MAX + 10;
    const agents = Array.from({ length: count }, (_, n) => {
      const {
        agentId: id,
        hostKey,
        principal,
      } = admit(n).operation as Extract<RegistryOperation, { type: "admit-agent" }>;
      return { agentId: id, info: info(), hostKey, principal, admittedAt: admit(n).audit.when };
    });
    const chunks: SnapshotEntry[] = [];
    for (let from = 0; from < count; from += 1_000) {
      const [chunk, last] = [from / 1_000, from + 1_000 >= count];
      const begin = chunk === 0 ? { records: count } : { begin: position(3) };
      const tables = { admitted: agents.slice(from, from + 1_000) };
      chunks.push({ type: "snapshot", leader: leader(2), chunk, last, ...begin, tables });
    }
    const entries = chunks.map((chunk) => text(encodeEntry(chunk)));
    const operations = [at({ type: "mark-agent-unreachable", agentId: agentId(7) }), admit(count)];
    const after = text(encodeEntry({ type: "operations", leader: leader(2), snapshot: position(3), operations }));
    const cluster = clusterOf([leaderEntry(), ...entries, after]);
    const seen = new Set<string>();
    let parts = 0;
    for (let part: RegistryCall["part"]; ; parts++) {
      const answer: RegistryAnswer = registry(cluster, part === undefined ? {} : { part });
      if (answer.type !== "registry") throw new Error(answer.reason);
      expect(answer.registry.admitted.length).toBeLessThan(PART_RECORDS_MAX);
      for (const agent of [...answer.registry.admitted, ...answer.registry.unreachable]) seen.add(agent.agentId);
      if (answer.next === undefined) break;
      part = answer.next;
    }
    expect([parts, seen.size]).toEqual([2, count + 1]);
  });
});

describe("[R27] history", () => {
  test("who, what, when and why, each with its position, without what a snapshot repeats", () => {
    const entries = written();
    const answer = historyOf(clusterOf(entries));
    if (answer.type !== "history") throw new Error(answer.reason);
    const kinds = answer.entries.map(({ type }) => type);
    expect(kinds.filter((type) => type === "leader")).toHaveLength(2);
    expect(kinds[0]).toBe("membership");
    const changes = answer.entries.flatMap((entry) => (entry.type === "operations" ? entry.changes : []));
    expect(changes).toHaveLength(44);
    expect(changes[0]).toEqual({
      operation: { type: "admit-agent", agentIds: [agentId(0)], hostname: "host", principal: "agents", strict: true },
      audit: { who: "agents", when: 1_000, why: "registered" },
    });
    expect(changes.slice(-3).map(({ operation }) => operation)).toEqual([
      { type: "register-framework", agentIds: [], frameworkId: "g20", principal: "p", failoverTimeoutMs: 20 },
      { type: "update-weights", agentIds: [], weights: [{ role: "r", weight: 21 }] },
      { type: "update-quota", agentIds: [], quotas: [quotaOf("q20")] },
    ]);
    expect(answer).toMatchObject({ begin: 1, decidedTo: entries.length + 2, next: undefined });
  });

  test("of one agent: everything that names it, also in a list, and nothing else", () => {
    const answer = historyOf(clusterOf(written()), { agent: agentId(1) });
    if (answer.type !== "history") throw new Error(answer.reason);
    const changes = answer.entries.flatMap((entry) => (entry.type === "operations" ? entry.changes : []));
    expect(changes.map(({ operation: { type } }) => type)).toEqual(["admit-agent", "mark-agent-unreachable", "prune"]);
    expect(answer.entries.every(({ type }) => type === "operations")).toBe(true);
  });

  test("it goes on where the last answer ended, and no answer is long", () => {
    const filler = Array.from({ length: 60 }, (_, n) =>
      operationsUnder(leader(2), ...Array.from({ length: 400 }, (__, m) => update(1, info(`host-${n}-${m}`)))),
    );
    const cluster = clusterOf([leaderEntry(), operationsUnder(leader(2), admit(1)), ...filler]);
    const positions: number[] = [];
    let answers = 0;
    let changes = 0;
    for (let from: HistoryCall["from"]; ; answers++) {
      const answer = historyOf(cluster, from === undefined ? {} : { from });
      if (answer.type !== "history") throw new Error(answer.reason);
      expect(JSON.stringify(answer).length).toBeLessThan(4 * 1024 * 1024);
      for (const entry of answer.entries) {
        positions.push(entry.position);
        if (entry.type === "operations") changes += entry.changes.length;
      }
      if (answer.next === undefined) break;
      from = answer.next;
    }
    expect(answers).toBeGreaterThanOrEqual(1); // besides the last one
    expect(positions).toEqual(positions.toSorted((a, b) => a - b));
    expect([new Set(positions).size, changes]).toEqual([63, 1 + 60 * 400]);
  });

  test("an entry that does not read is told as such, and those behind it too", () => {
    const newer = text(JSON.stringify({ v: 9, type: "surprise", leader: leader(2) }));
    const answer = historyOf(clusterOf([leaderEntry(), newer, operationsUnder(leader(2), admit(1))]), {
      from: position(3),
    });
    expect(answer).toMatchObject({
      entries: [
        { type: "unreadable", position: 3 },
        { type: "operations", position: 4 },
      ],
    });
  });

  test("what is not decided is not told, and the answer says how far it goes", () => {
    const cluster = clusterOf([leaderEntry(), operationsUnder(leader(2), admit(1))]);
    cluster.replica(R2).deliver(write(ballot(1), 4, operationsUnder(leader(2), admit(2))));
    expect(historyOf(cluster)).toMatchObject({ decidedTo: 4, end: 4 });
    expect(registry(cluster)).toMatchObject({ at: 3, decidedTo: 4, end: 4, registry: { admitted: [{}] } });
    expect(registry(cluster, { at: position(4) })).toEqual({
      type: "unanswerable",
      reason: "entry 4 is not decided yet: the log is decided up to 3",
    });
  });
});

describe("[R28] the audit trail", () => {
  test("shows nothing of a secret, and no host key", () => {
    const cluster = clusterOf(written());
    for (const answer of [registry(cluster), historyOf(cluster)]) {
      const shown = JSON.stringify(answer);
      expect(shown).toContain('"principal":"p"');
      for (const hidden of ["the salt", "the stored key", "the server key", "hostKey", "0".repeat(30), "iterations"]) {
        expect(shown).not.toContain(hidden);
      }
    }
  });

  test("needs no master and two of three replicas, and changes nothing at any of them", () => {
    const cluster = clusterOf(written());
    const before = REPLICAS.map((id) => cluster.replica(id).state);
    const answers = [registry(cluster), historyOf(cluster)];
    expect(REPLICAS.map((id) => cluster.replica(id).state)).toEqual(before);
    expect(new Set(cluster.sent.map(({ message }) => message.type))).toEqual(new Set(["read"]));
    for (const away of [R1, R2, R3] as const satisfies readonly ReplicaId[]) {
      cluster.away.clear();
      cluster.away.add(away);
      expect([registry(cluster), historyOf(cluster)]).toEqual(answers);
    }
    cluster.away.add(R1).add(R2);
    expect([registry(cluster).type, historyOf(cluster).type]).toEqual(["unavailable", "unavailable"]);
  });

  test("of another cluster nothing is told", () => {
    const cluster = clusterOf([leaderEntry()]);
    expect(cluster.call(registryAt({ clusterId: OTHER_CLUSTER }, REPLICAS))).toMatchObject({ type: "unavailable" });
    expect(cluster.call(history({ clusterId: OTHER_CLUSTER }, REPLICAS))).toMatchObject({ type: "unavailable" });
  });
});
