// What `mesoflare master` shows and says. The real plane is in test/e2e/masters.test.ts.
import { describe, expect, test } from "vitest";
import { candidateName, failOver, getMasters, type MasterJson, type MastersJson } from "../../cli/master/answers.ts";
import { adviceOn, failoverText, formatMasters } from "../../cli/master/status.ts";
import { JsonPlane } from "./json-plane.ts";

const TIME = 1_800_000_000;
const leads = (number: number, more: Partial<MasterJson> = {}): MasterJson => ({
  name: `master-${number}`,
  state: "leads",
  epoch: 17,
  since: TIME - 3600,
  ballot: 4,
  confirmed_at: TIME - 1.25,
  ...more,
});
const follows = (number: number, more: Partial<MasterJson> = {}): MasterJson => ({
  name: `master-${number}`,
  state: "follows",
  epoch: 17,
  leader: "master-1",
  ...more,
});
const gone = (number: number): MasterJson => ({
  name: `master-${number}`,
  state: "unreachable",
  reason: "no answer within 8 s",
});
const answerOf = (leader: string | undefined, ...masters: readonly MasterJson[]): MastersJson => ({
  ...(leader === undefined ? {} : { leader, epoch: 17 }),
  time: TIME,
  masters,
});

describe("status", () => {
  test("all is well: a table and nothing else", () => {
    expect(formatMasters(answerOf("master-1", leads(1, { colo: "AMS", hint: "weur" }), follows(2)))).toBe(
      [
        "master-1 leads in epoch 17; 2 candidates",
        "MASTER    STATE    EPOCH  SINCE                 BALLOT  CONFIRMED  WHERE",
        "master-1  leads    17     2027-01-15T07:00:00Z  4       1.3 s ago  AMS",
        "master-2  follows  17     -                     -       -          -",
        "",
      ].join("\n"),
    );
    expect(formatMasters(answerOf("master-1", leads(1)))).toMatch(/; 1 candidate\n/);
  });

  test("one that does not answer, and one that is not where it was wished to be", () => {
    expect(adviceOn(answerOf("master-1", leads(1, { colo: "IAD", hint: "weur" }), gone(2)))).toEqual([
      "warning: master-2 does not answer (no answer within 8 s); it takes its part again by itself when it does",
      "note: master-1 was wished to be in weur and is in IAD: a hint is only a wish",
    ]);
  });

  test("nobody leads: why, what it means, and where to look", () => {
    const reason = "no quorum: replica-2, replica-3";
    const shown = formatMasters(
      answerOf(undefined, gone(1), follows(2, { epoch: undefined, leader: undefined, reason })),
    );
    expect(shown).toMatch(/^no master leads; 2 candidates\n/);
    expect(shown).toContain("warning: no master leads: no quorum: replica-2, replica-3. Tasks run on");
    expect(shown).toContain("mesoflare log status");
    expect(adviceOn(answerOf(undefined, gone(1)))[0]).toContain("no candidate answers");
  });
});

describe("failover", () => {
  const done = { leader: "master-2", epoch: 18, from: "master-1" };

  test("names the candidate, or leaves it to the plane", async () => {
    const [fake, plane] = await JsonPlane.listen(async () => ({ body: done }));
    expect(await failOver(plane, "master-2")).toEqual(done);
    expect(await failOver(plane, undefined)).toEqual(done);
    expect(fake.asked).toEqual([
      { path: "/mesoflare/masters/failover", body: { to: "master-2" } },
      { path: "/mesoflare/masters/failover", body: {} },
    ]);
  });

  test("a refusal is final; an answer that tells nothing says where to look", async () => {
    const answers = [
      { status: 409, body: "this plane has one candidate, master-1\n" },
      { status: 404, body: "no candidate 'master-3'\n" },
      { status: 403, body: "'reader' may not do this\n" },
      { status: 503, body: "master-2 cannot lead: no quorum\n" },
      { status: 0, body: "" },
    ];
    const [, plane] = await JsonPlane.listen(async () => answers.shift() ?? { body: {} });
    await expect(failOver(plane, undefined)).rejects.toThrow(/^refused: this plane has one candidate, master-1$/);
    await expect(failOver(plane, "master-3")).rejects.toThrow(/^refused: no candidate 'master-3'$/);
    await expect(failOver(plane, undefined)).rejects.toThrow(/403: 'reader' may not do this$/);
    await expect(failOver(plane, undefined)).rejects.toThrow(/503: master-2 cannot lead.*master status' tells$/);
    await expect(failOver(plane, undefined)).rejects.toThrow(/no answer from.*master status' tells$/);
  });

  test("says what it has led to", () => {
    expect(failoverText(done)).toMatch(/^master-2 leads in epoch 18, and master-1 no longer\. Agents register again/);
    expect(failoverText({ leader: "master-2", epoch: 18 })).toMatch(/^master-2 leads in epoch 18\. /);
    expect(failoverText({ leader: "master-2", epoch: 18, from: "master-2" })).toBe(
      "master-2 leads already, in epoch 18\n",
    );
  });

  test("names that no candidate has are refused before anything is asked", () => {
    expect(candidateName("master-2")).toBe("master-2");
    for (const wrong of ["master", "master-0", "master-10", "replica-1", "Master-1", ""])
      expect(() => candidateName(wrong)).toThrow("a candidate is named master-1");
  });

  test("the status is one request", async () => {
    const [fake, plane] = await JsonPlane.listen(async () => ({ body: answerOf("master-1", leads(1)) }));
    expect((await getMasters(plane)).leader).toBe("master-1");
    expect(fake.asked).toEqual([{ path: "/mesoflare/masters", body: undefined }]);
  });
});
