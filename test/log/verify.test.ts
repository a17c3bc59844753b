import { describe, expect, test } from "vitest";
import { type Position, position } from "#log/entry.ts";
import { MemoryLogStorage } from "#log/memory-storage.ts";
import { verify } from "#log/verify.ts";
import { TestCluster } from "./cluster.ts";
import {
  ballot,
  CLUSTER,
  electorateOf,
  enlist,
  lifeOf,
  named,
  OTHER_CLUSTER,
  R1,
  R2,
  R3,
  R4,
  record,
  REPLICAS,
  seating,
  truncateTo,
  value,
  values,
  write,
} from "./sample.ts";

const verified = (cluster: TestCluster, from = 1, seeds = REPLICAS) =>
  cluster.call(verify({ clusterId: CLUSTER, from: position(from) }, seeds));
/** All have learned up to `last`. */
const sound = (last = 10) => {
  const cluster = new TestCluster();
  for (const id of REPLICAS) {
    for (let at = 2; at <= last; at += 1_000) {
      cluster.replica(id).learned(ballot(1), ...values(Math.min(1_000, last - at + 1), at));
    }
  }
  return cluster;
};
/** Changes a stored record behind the replica's back, as no rule allows. */
const forge = (cluster: TestCluster, id: typeof R1, at: number, data: string) =>
  cluster.replica(id).storage.persist([{ type: "persist-records", records: [record(at, ballot(1), value(data))] }]);

/** Loses the record at one position, as no rule allows. */
class HoledStorage extends MemoryLogStorage {
  readonly #below: MemoryLogStorage;
  readonly #at: number;
  constructor(below: MemoryLogStorage, at: number) {
    super();
    this.#below = below;
    this.#at = at;
  }
  override end() {
    return this.#below.end();
  }
  override page(from: Position, bounds: Parameters<MemoryLogStorage["page"]>[1]) {
    const read = this.#below.page(from, bounds);
    if (read.type !== "page") return read;
    return { ...read, records: read.records.filter((found) => found.position !== this.#at) };
  }
}

describe("verification", () => {
  test("[L35] replicas that agree give no finding", () => {
    expect(verified(sound())).toEqual({
      type: "verified",
      from: 1,
      next: undefined,
      end: 10,
      replicas: REPLICAS,
      findings: [],
    });
  });

  test("[L35] different values that are learned at one position are a divergence, with its place", () => {
    const cluster = sound();
    forge(cluster, R2, 7, "another");
    expect(verified(cluster)).toMatchObject({
      findings: [{ replica: R2, type: "divergence", position: 7, detail: expect.stringContaining(R1) }],
    });
  });

  test("[L35] what is only accepted may differ", () => {
    const cluster = sound();
    cluster.replica(R1).deliver(write(ballot(1), 11, value("a")));
    cluster.replica(R2).deliver(write(ballot(2), 11, value("b")));
    expect(verified(cluster)).toMatchObject({ end: 11, findings: [] });
  });

  test("[L35] the ballot under which a value is held may differ, the value is what counts", () => {
    const cluster = sound();
    const same = record(7, ballot(9), value("7"));
    cluster.replica(R2).storage.persist([{ type: "persist-records", records: [same] }]);
    expect(verified(cluster)).toMatchObject({ findings: [] });
  });

  test.each([1, 5, 10])("[L12] [L35] a learned position %i without a record is damage", (at) => {
    const cluster = sound();
    cluster.replica(R3).storage = new HoledStorage(cluster.replica(R3).storage, at);
    expect(verified(cluster)).toMatchObject({ findings: [{ replica: R3, type: "damage", position: at }] });
    expect(cluster.replica(R3).deliver({ type: "status" }).standing).toMatchObject({ damaged: { from: at, to: at } });
  });

  test.each([1, 5, 10])("[L35] one that leaves out position %i, which it claims to have learned, has a hole", (at) => {
    const cluster = sound();
    const replica = cluster.replica(R3);
    const deliver = replica.deliver.bind(replica);
    replica.deliver = (message) => {
      const answer = deliver(message);
      if (answer.type !== "page") return answer;
      const records = answer.page.records.filter((one) => one.position !== at);
      return { ...answer, page: { ...answer.page, records } };
    };
    expect(verified(cluster)).toMatchObject({ findings: [{ replica: R3, type: "hole", position: at }] });
  });

  test("[L12] [L35] damage that nobody has read is found, with its place", () => {
    const cluster = sound();
    cluster.replica(R2).storage.damage(position(4));
    expect(verified(cluster)).toMatchObject({
      next: undefined,
      findings: [{ replica: R2, type: "damage", position: 4 }],
    });
    expect(cluster.replica(R2).deliver({ type: "status" }).standing.status).toBe("recovering");
  });

  test("[L12] [L35] an accepted record that is damaged is found too: the vote is lost, and with it the seat", () => {
    const cluster = sound();
    cluster.replica(R2).deliver(write(ballot(1), 11, value("a")));
    cluster.replica(R2).storage.damage(position(11));
    const found = { replica: R2, type: expect.stringMatching(/^(?:damage|unseated)$/) };
    expect(verified(cluster)).toMatchObject({ findings: [found] });
    expect(cluster.replica(R2).state.incarnation).toBe(lifeOf(R2, 2));
  });

  test("[L35] one that has learned less lags, and by how much", () => {
    const cluster = sound();
    cluster.replica(R1).learned(ballot(1), value("11"), value("12"));
    expect(verified(cluster)).toMatchObject({
      findings: [
        { replica: R2, type: "lag", position: 11, detail: "2 entries behind" },
        { replica: R3, type: "lag" },
      ],
    });
  });

  test("[L27] [L35] one over another storage than its seat's is unseated", () => {
    const cluster = sound();
    cluster.replica(R3).loseStorage();
    cluster.replica(R3).deliver(enlist(R3));
    cluster.replica(R3).learned(ballot(1), seating(...REPLICAS), ...values(9, 2));
    expect(cluster.replica(R3).state.incarnation).toBe(lifeOf(R3, 2));
    expect(verified(cluster)).toMatchObject({ findings: [{ replica: R3, type: "unseated" }] });
  });

  test("[L35] one that does not answer is named, and the others are compared", () => {
    const cluster = sound();
    forge(cluster, R3, 7, "another");
    cluster.away.add(R2);
    expect(verified(cluster)).toMatchObject({
      findings: [
        { replica: R2, type: "unreachable", detail: "Error: away" },
        { replica: R3, type: "divergence", position: 7 },
      ],
    });
  });

  test("[L35] a long log is read in parts, each of which says where the next begins", () => {
    const cluster = sound(45_000);
    forge(cluster, R2, 44_000, "another");
    const first = verified(cluster);
    expect(first).toMatchObject({ type: "verified", from: 1, next: 40_001, end: 45_000, findings: [] });
    expect(verified(cluster, 40_001)).toMatchObject({
      next: undefined,
      findings: [{ type: "divergence", position: 44_000 }],
    });
  });

  test("[L35] pages of different length are compared at the same positions", () => {
    const cluster = sound(3_000);
    // R2's page is shorter: it holds less in the same letters.
    forge(cluster, R2, 100, "x".repeat(250_000));
    for (const at of [101, 102, 103, 104, 105]) forge(cluster, R2, at, "x".repeat(250_000));
    forge(cluster, R3, 1_500, "another");
    const answer = verified(cluster);
    const found = answer.type === "verified" ? answer.findings : [];
    expect(found.map(({ type, replica, position: at }) => [type, replica, at])).toEqual([
      ...[100, 101, 102, 103, 104, 105].map((at) => ["divergence", R2, at]),
      ["divergence", R3, 1_500],
    ]);
  });

  test("[L35] truncated positions are no holes, and replicas may have truncated differently", () => {
    const cluster = sound();
    cluster.replica(R1).learned(ballot(1), truncateTo(8));
    expect(verified(cluster)).toMatchObject({
      findings: [
        { replica: R2, type: "lag" },
        { replica: R3, type: "lag" },
      ],
    });
  });

  test("[L35] it changes nothing that is sound", () => {
    const cluster = sound();
    const before = REPLICAS.map((id) => cluster.replica(id).state);
    verified(cluster);
    expect(REPLICAS.map((id) => cluster.replica(id).state)).toEqual(before);
    expect(new Set(cluster.sent.map(({ message }) => message.type))).toEqual(new Set(["status", "read"]));
  });

  test("[L35] it reads the members of the newest membership, whoever is named by the caller", () => {
    const cluster = new TestCluster(REPLICAS, [R4]);
    cluster.replica(R4).deliver(enlist(R4));
    for (const id of [R1, R2]) cluster.replica(id).learned(ballot(1), seating(R1, R2, R4));
    cluster.replica(R4).learned(ballot(1), seating(...REPLICAS), seating(R1, R2, R4));
    expect(verified(cluster)).toMatchObject({ replicas: [R1, R2, R4], findings: [] });
  });

  test("[L35] without a replica that knows a membership there is nothing to verify", () => {
    expect(verified(new TestCluster([], REPLICAS))).toMatchObject({ type: "unavailable", replicas: 3 });
  });

  test("[L13] [L35] a replica of another cluster tells no membership", () => {
    const cluster = sound();
    cluster.replicas.set(R3, new TestCluster([], [R3]).replica(R3));
    cluster.replica(R3).deliver(enlist(R3, OTHER_CLUSTER));
    const foreign = [record(1, ballot(1), seating(R3)), record(2, ballot(1), seating(named(7)))];
    cluster.replica(R3).deliver({ type: "catch-up", clusterId: OTHER_CLUSTER, records: foreign });
    expect(cluster.replica(R3).state.electorate).toEqual(electorateOf(2, named(7)));
    expect(verified(cluster)).toMatchObject({
      replicas: REPLICAS,
      findings: [{ replica: R3, type: "unreachable", detail: expect.stringContaining("another cluster") }],
    });
  });

  test("[L35] when nobody can be read, it does not ask its caller to go on from the same place for ever", () => {
    const cluster = sound();
    for (const id of REPLICAS) cluster.replica(id).storage.damage(position(1));
    const first = verified(cluster);
    expect(first).toMatchObject({ findings: [{ type: "damage" }, { type: "damage" }, { type: "damage" }] });
    const { next } = first.type === "verified" ? first : { next: undefined };
    expect(next === undefined || next > 1).toBe(true);
  });
});
