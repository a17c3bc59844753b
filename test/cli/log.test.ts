// What `mesoflare log` shows and says, and how it goes through a log part by part. The real plane is in test/e2e/log.test.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { changeMembers, replicaName, type LogJson, type ReplicaJson } from "../../cli/log/answers.ts";
import { changeAndWait, changedText, progressText } from "../../cli/log/change.ts";
import { isWhereWished, placeText } from "../../cli/log/place.ts";
import { adviceOn, formatLog } from "../../cli/log/status.ts";
import { formatVerification, verify } from "../../cli/log/verify.ts";
import { JsonPlane } from "./json-plane.ts";

const CLUSTER = "0b9f7e9e-6d0e-4d8e-9a51-1f0c6b6f3c11";

const voting = (number: number, more: Partial<ReplicaJson> = {}): ReplicaJson => ({
  id: `replica-${number}`,
  member: true,
  status: "voting",
  cluster_id: CLUSTER,
  begin: 1,
  end: 17,
  missing_from: 18,
  promised: { counter: 3, candidate: "master-1" },
  ...more,
});
const silent = (number: number): ReplicaJson => ({
  id: `replica-${number}`,
  member: true,
  status: "unreachable",
  reason: "no answer within 2 s",
});
const empty = (number: number): ReplicaJson => ({
  ...voting(number, { status: "empty", end: 0, missing_from: 1 }),
  cluster_id: undefined,
  promised: { counter: 0, candidate: "" },
});
const logOf = (...replicas: readonly ReplicaJson[]): LogJson => ({
  cluster_id: CLUSTER,
  membership: replicas.filter(({ member }) => member).map(({ id }) => id),
  membership_position: 1,
  replicas,
});
const newLog = (...replicas: readonly ReplicaJson[]): LogJson => ({ replicas });
const texts = (log: LogJson): readonly string[] => adviceOn(log).map(({ level, text }) => `${level}: ${text}`);

describe("status", () => {
  test("a log that is well is a table and nothing else", () => {
    const shown = formatLog(logOf(voting(1, { colo: "AMS", hint: "weur" }), voting(3), voting(2)));
    expect(shown).toBe(
      [
        `cluster ${CLUSTER}; 3 members since entry 1, 3 vote, 2 are needed`,
        "REPLICA    MEMBER  STATUS  LEARNED  END  LAG  PROMISED       WHERE",
        "replica-1  yes     voting  17       17   0    3 of master-1  AMS",
        "replica-2  yes     voting  17       17   0    3 of master-1  -",
        "replica-3  yes     voting  17       17   0    3 of master-1  -",
        "",
      ].join("\n"),
    );
  });

  test("lag is counted from the end that any replica has; what is not known is a dash", () => {
    const shown = formatLog(logOf(voting(10, { end: 17, missing_from: 5 }), voting(9), silent(2)));
    const rows = shown.split("\n").slice(2, 5);
    expect(rows.map((row) => row.split(/\s{2,}/))).toEqual([
      ["replica-2", "yes", "unreachable", "-", "-", "-", "-", "-"],
      ["replica-9", "yes", "voting", "17", "17", "0", "3 of master-1", "-"],
      ["replica-10", "yes", "voting", "4", "17", "13", "3 of master-1", "-"],
    ]);
  });

  test("nobody knows a membership: never initialised, interrupted, or nobody there", () => {
    expect(texts(newLog(empty(1), empty(2), empty(3)))).toEqual([
      expect.stringMatching(/^warning: every replica that answers is empty.*mesoflare init/),
    ]);
    expect(texts(newLog(empty(1), silent(2)))).toEqual([
      expect.stringContaining("is empty"),
      expect.stringContaining("replica-2 does not answer (no answer within 2 s)"),
    ]);
    expect(texts(newLog(empty(1), voting(2, { status: "starting" })))).toEqual([
      expect.stringContaining(`mesoflare init --cluster-id ${CLUSTER}`),
    ]);
    expect(texts(newLog(silent(1)))[0]).toContain("warning: none of the replicas");
    expect(formatLog(newLog(empty(1)))).toMatch(/^no membership known\n/);
    expect(formatLog(newLog())).toMatch(/^no membership known\n/);
  });

  test("one member that is away, lost its storage or recovers: what happens by itself, and what to do", () => {
    expect(texts(logOf(voting(1), voting(2), silent(3)))).toEqual([
      expect.stringMatching(/^warning: replica-3 does not answer.*log replace replica-3 <new name>/),
    ]);
    expect(texts(logOf(voting(1), voting(2), empty(3)))).toEqual([
      expect.stringMatching(/lost its storage.*by itself/),
    ]);
    expect(texts(logOf(voting(1), voting(2), voting(3, { status: "recovering" })))).toEqual([
      expect.stringMatching(/recovering and does not vote/),
    ]);
  });

  test("no quorum comes first, and says whether waiting helps", () => {
    const away = texts(logOf(voting(1), silent(2), silent(3)));
    expect(away[0]).toMatch(/^warning: no quorum: 1 of 3 members votes, 2 are needed.*by itself/);
    expect(away.slice(1)).toEqual([2, 3].map((n) => `warning: replica-${n} does not answer (no answer within 2 s)`));
    const [lost, ...more] = texts(logOf(voting(1), empty(2), empty(3)));
    expect(more).toEqual(["warning: replica-2 has lost its storage", "warning: replica-3 has lost its storage"]);
    expect(lost).toMatch(/no quorum.*replica-2 and replica-3 have lost their storage.*there is no command/);
    expect(texts(logOf(voting(1), empty(2), silent(3)))[0]).toMatch(/no quorum.*by itself$/);
    expect(formatLog({ ...logOf(voting(1), silent(2), silent(3)), cluster_id: undefined })).toMatch(
      /^no quorum; 3 members since entry 1, 1 vote, 2 are needed\n/,
    );
  });

  test("places: two in one data centre, and one that is not where it was wished", () => {
    const where = (number: number, colo: string | undefined, hint = "weur") => voting(number, { colo, hint });
    expect(texts(logOf(where(1, "AMS"), where(2, "FRA"), where(3, "LHR")))).toEqual([]);
    expect(texts(logOf(where(1, "AMS"), where(2, "AMS"), where(3, "LHR")))).toEqual([
      expect.stringMatching(/^warning: replica-1 and replica-2 are in one data centre, AMS.*log replace replica-2/),
    ]);
    expect(texts(logOf(where(1, "AMS"), where(2, "IAD"), where(3, undefined)))).toEqual([
      expect.stringMatching(/^note: replica-2 was wished to be in weur and is in IAD/),
    ]);
    expect(placeText({ hint: "weur", colo: "AMS" })).toBe("AMS");
    expect(placeText({ hint: "weur", colo: "IAD" })).toBe("IAD (hint weur)");
    expect(placeText({ hint: "weur", colo: "QQQ" })).toBe("QQQ (hint weur)");
    expect(placeText({ hint: "weur" })).toBe("? (hint weur)");
    expect([placeText({}), placeText({ colo: "AMS" })]).toEqual(["-", "AMS"]);
    expect(isWhereWished({ hint: "apac-ne", colo: "NRT" })).toBe(true);
  });

  test("numbers: even, one alone; names of the configuration that are no members", () => {
    expect(texts(logOf(voting(1), voting(2), voting(3), voting(4)))).toEqual([
      expect.stringMatching(/^warning: 4 members bear the loss of 1, no more than 3 would/),
    ]);
    expect(texts(logOf(voting(1), voting(2)))).toEqual([
      expect.stringMatching(/2 members bear the loss of 0, no more than 1/),
    ]);
    expect(texts(logOf(voting(1)))).toEqual([expect.stringContaining("one member")]);
    expect(texts(logOf(voting(1), voting(2), voting(4), voting(3, { member: false })))).toEqual([
      expect.stringMatching(/^note: replica-3 is no member: .*REPLICAS/),
    ]);
  });
});

describe("a change", () => {
  test("names that no replica can have", () => {
    expect(replicaName("replica-999")).toBe("replica-999");
    for (const wrong of [
      "",
      "replica-0",
      "replica-1000",
      "replica-01",
      "master-1",
      "../x",
      "replica-1\n",
      "x".repeat(300),
    ]) {
      expect(() => replicaName(wrong)).toThrow("replica-1 to replica-999");
    }
  });

  test("says how far the new member is, as far as the plane tells", () => {
    const add = { type: "add", replica: "replica-4" } as const;
    const far = voting(4, { member: false, missing_from: 5 });
    expect(progressText(logOf(voting(1), far), add)).toBe("replica-4 has 4 of 17 entries");
    expect(progressText(logOf(voting(1)), add)).toBe("waiting until replica-4 has the log's 17 entries");
    const replace = { type: "replace", replica: "replica-1", by: "replica-4" } as const;
    expect(progressText(logOf(voting(1), far), replace)).toBe("replica-4 has 4 of 17 entries");
    expect(progressText(logOf(voting(1)), { type: "remove", replica: "replica-1" })).toContain("removed");
  });

  test("and what it led to", () => {
    const after = (...membership: readonly string[]) => ({ membership, membership_position: 9 });
    expect(changedText({ type: "add", replica: "replica-10" }, after("replica-1", "replica-10", "replica-2"))).toBe(
      "replica-10 was added by entry 9: the 3 members are replica-1, replica-2, replica-10; 2 of them decide\n",
    );
    expect(changedText({ type: "remove", replica: "replica-2" }, after("replica-1"))).toBe(
      "replica-2 was removed by entry 9: the only member is replica-1\n",
    );
    expect(changedText({ type: "replace", replica: "replica-2", by: "replica-4" }, after("replica-4"))).toContain(
      "replica-2 was replaced by replica-4",
    );
  });
});

/** Answers each request with what the test says, after as long as it says. */
const replicas = ["replica-1", "replica-2"];
const GET_LOG = { body: logOf(voting(1, { begin: 11 }), voting(2, { begin: 21 })) };

describe("verify", () => {
  const shell = () => {
    const told: string[] = [];
    return {
      told,
      shell: { lagPauseMs: 1, progress: (through: number, end: number) => told.push(`${through}/${end}`) },
    };
  };

  test("goes from the first entry that is left to the end, part by part", async () => {
    const [fake, plane] = await JsonPlane.listen(async (path, body) =>
      path === "/mesoflare/log"
        ? GET_LOG
        : {
            body: {
              from: body.from,
              next: body.from < 40 ? body.from + 15 : undefined,
              end: 50,
              replicas,
              findings: [],
            },
          },
    );
    const { told, shell: quiet } = shell();
    const verification = await verify(plane, quiet);
    expect(fake.asked.slice(1).map(({ body }) => body)).toEqual([{ from: 11 }, { from: 26 }, { from: 41 }]);
    expect(told).toEqual(["25/50", "40/50", "50/50"]);
    expect(formatVerification(verification)).toBe("40 entries at 2 replicas: nothing wrong\n");
  });

  test("what is found in each part is told once, with what to do", async () => {
    const away = { replica: "replica-2", type: "unreachable", detail: "no answer" };
    const [, plane] = await JsonPlane.listen(async (path, body) => {
      if (path === "/mesoflare/log") return GET_LOG;
      const { from } = body;
      const other = { replica: "replica-1", type: "hole", position: from, detail: `no record at ${from}` };
      return { body: { from, next: from === 11 ? 26 : undefined, end: 30, replicas, findings: [away, other] } };
    });
    const verification = await verify(plane, shell().shell);
    expect(verification.findings).toHaveLength(3);
    const shown = formatVerification(verification);
    expect(shown).toContain("REPLICA    FINDING      ENTRY  DETAIL\nreplica-2  unreachable  -      no answer\n");
    expect(shown).toContain("\nhole: ");
    expect(shown).not.toContain("\nlag: ");
    expect(shown).toMatch(/20 entries at 2 replicas: 3 findings\n$/);
  });

  test("lag at the end is looked at again: it may be an entry that was being written", async () => {
    let looks = 0;
    const lag = { replica: "replica-2", type: "lag", position: 30, detail: "1 entries behind" };
    let until = 2;
    const [, plane] = await JsonPlane.listen(async (path, body) => {
      if (path === "/mesoflare/log") return GET_LOG;
      looks += 1;
      return { body: { from: body.from, end: 30, replicas, findings: looks < until ? [lag] : [] } };
    });
    expect((await verify(plane, shell().shell)).findings).toEqual([]);
    expect(looks).toBe(2);
    [looks, until] = [0, Infinity];
    expect((await verify(plane, shell().shell)).findings).toEqual([lag]);
    expect(looks).toBe(3);
  });

  test("replicas that are not the members, of a change on the way or a plane that knows an older set, prove nothing", async () => {
    const [, plane] = await JsonPlane.listen(async (path, body) =>
      path === "/mesoflare/log"
        ? GET_LOG
        : { body: { from: body.from, end: 30, replicas: ["replica-1", "replica-3"], findings: [] } },
    );
    await expect(verify(plane, shell().shell)).rejects.toThrow(
      /read are replica-1, replica-3, and the members were replica-1, replica-2/,
    );
  });

  test("a plane that does not get on, or answers no, ends it", async () => {
    const [, stuck] = await JsonPlane.listen(async (path, body) =>
      path === "/mesoflare/log"
        ? GET_LOG
        : { body: { from: body.from, next: body.from, end: 30, replicas, findings: [] } },
    );
    await expect(verify(stuck, shell().shell)).rejects.toThrow("did not get beyond entry 11");
    const [, no] = await JsonPlane.listen(async (path) =>
      path === "/mesoflare/log" ? GET_LOG : { status: 503, body: "no quorum\n" },
    );
    await expect(verify(no, shell().shell)).rejects.toThrow("503: no quorum");
  });
});

describe("waiting for a change", () => {
  const change = { type: "add", replica: "replica-4" } as const;

  test("tells how far it is until the answer is there, and nothing afterwards", async () => {
    const said: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    const [fake, plane] = await JsonPlane.listen(async (path) => {
      if (path === "/mesoflare/log") return { body: logOf(voting(1), voting(4, { member: false, missing_from: 5 })) };
      await promise;
      return { body: { membership: ["replica-1", "replica-4"], membership_position: 18 } };
    });
    const say = (line: string): void => {
      said.push(line);
      if (said.length === 2) resolve();
    };
    const members = await changeAndWait(plane, change, { say, progressMs: 5 });
    expect(members).toEqual({ membership: ["replica-1", "replica-4"], membership_position: 18 });
    expect(new Set(said)).toEqual(new Set(["replica-4 has 4 of 17 entries"]));
    expect(fake.asked[0]).toEqual({ path: "/mesoflare/log/members", body: change });
    const count = said.length;
    await sleep(50);
    expect(said).toHaveLength(count);
  });

  test("a refusal is final; an answer that tells nothing says so", async () => {
    const answers = [
      { status: 409, body: "replica-4 is a member already\n" },
      { status: 503, body: "no quorum\n" },
      { status: 500, body: "failed\n" },
      { status: 0, body: "" },
    ];
    const [, plane] = await JsonPlane.listen(async () => answers.shift() ?? { body: {} });
    await expect(changeMembers(plane, change)).rejects.toThrow(/^refused: replica-4 is a member already$/);
    await expect(changeMembers(plane, change)).rejects.toThrow(/503: no quorum$/);
    await expect(changeMembers(plane, change)).rejects.toThrow(/500.*log status' tells$/);
    await expect(changeMembers(plane, change)).rejects.toThrow(/no answer from.*log status' tells$/);
  });
});
