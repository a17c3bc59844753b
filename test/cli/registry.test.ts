// What `mesoflare registry` shows, how it goes through parts and pages, and what it says when it cannot.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Context } from "#protocol/credentials.ts";
import { UsageError } from "../../cli/failure.ts";
import { Plane } from "../../cli/plane.ts";
import {
  getHistory,
  getRegistry,
  positionOf,
  type HistoryJson,
  type QuotaJson,
  type RegistryJson,
} from "../../cli/registry/answers.ts";
import { formatHistory, formatRegistry } from "../../cli/registry/show.ts";

const EXTENT = { cluster_id: "c", begin: 1, decided_to: 41, end: 40 };
const LEADER = { candidate: "master-1", master_id: "m", epoch: 2 };
const WHEN = "2026-11-24T22:00:00.000Z";
const admitted = (number: number, hostname = `host-${number}`) => ({
  id: `m-S${number}`,
  hostname,
  port: 5051,
  principal: "agents",
  admitted_at: WHEN,
});
const registryOf = (more: Partial<RegistryJson> = {}): RegistryJson => ({
  ...EXTENT,
  position: 40,
  leader: LEADER,
  agents: { admitted: [admitted(1)], unreachable: [], gone: [] },
  frameworks: { disconnected: [], removed: [] },
  credentials: [],
  ...more,
});

/** Answers as it is told and keeps what was asked for. */
async function planeOf(
  answer: (query: URLSearchParams) => { readonly status?: number; readonly body: unknown },
): Promise<{ readonly plane: Plane; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://plane");
    if (url.pathname !== "/mesoflare/registry") return void response.writeHead(404).end("404: no such endpoint\n");
    asked.push(url.search);
    const { status = 200, body } = answer(url.searchParams);
    response.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const plane = new Plane({ plane: url, principal: "operator", secret: "a secret of no use" } as Context);
  return { plane, asked };
}
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});
const quiet = (): void => undefined;

describe("the registry", () => {
  test("is a headline and a table, and nothing more when there is nothing more", () => {
    expect(formatRegistry(registryOf())).toBe(
      [
        "after entry 40, the newest; led by master-1 since entry 2; agents: 1 admitted, 0 unreachable, 0 gone",
        "",
        "AGENT  STATE     HOST    PRINCIPAL  SINCE",
        `m-S1   admitted  host-1  agents     ${WHEN}`,
        "",
      ].join("\n"),
    );
  });

  test("all that it can hold, each in a table of its own", () => {
    const shown = formatRegistry(
      registryOf({
        position: 30,
        begin: 12,
        agents: {
          admitted: [],
          unreachable: [{ id: "m-S2", hostname: "b", principal: "agents", unreachable_at: WHEN }],
          gone: [{ id: "m-S3", hostname: "c", gone_at: WHEN }],
        },
        frameworks: {
          registered: [
            { id: "f0", principal: "p" },
            { id: "f1", principal: "p" },
          ],
          disconnected: [{ id: "f1", principal: "p", deadline: WHEN }],
          removed: [{ id: "f2", removed_at: WHEN }],
        },
        credentials: [{ principal: "p", role: "operator", verifiers: 2 }],
        weights: [{ role: "prod", weight: 2.5 }],
        quotas: [{ role: "prod", guarantees: { cpus: 4, mem: 512 }, limits: {} }],
      }),
    );
    expect(shown).toContain("prod  2.5\n");
    expect(shown).toContain("prod  cpus:4;mem:512  -\n");
    expect(shown).toContain("after entry 30, of 40;");
    expect(shown).toContain(`m-S3   gone         c     -          ${WHEN}\n`);
    expect(shown).toContain(`f0         registered    p          -\nf1         disconnected  p          ${WHEN}\n`);
    expect(shown).toContain("p          operator  2\n");
    expect(shown).toContain("note: history begins at entry 12; what was before is truncated\n");
  });

  test("an empty one, before anybody led", () => {
    const agents = { admitted: [], unreachable: [], gone: [] };
    const shown = formatRegistry(registryOf({ leader: undefined, agents, position: 1, decided_to: 2, end: 1 }));
    expect(shown).toContain("nobody has led yet");
    expect(shown).toContain("\nno agents\n");
  });

  test("what is not decided is said", () => {
    expect(formatRegistry(registryOf({ end: 41 }))).toContain("note: entry 41 is not decided yet, and not shown");
    expect(formatRegistry(registryOf({ end: 43 }))).toContain("note: entries 41 to 43 are not decided yet");
  });

  test("a host name cannot move the cursor", () => {
    const agents = { admitted: [admitted(1, "a\u001b[2Jb\r\nc\u202e")], unreachable: [], gone: [] };
    const shown = formatRegistry(registryOf({ agents }));
    expect(shown).toContain("a\ufffd[2Jb\ufffd\ufffdc\ufffd");
    expect(shown.split("\n")).toHaveLength(5);
  });

  test("a large one is put together from its parts, all as of one position", async () => {
    const { plane, asked } = await planeOf((query) => {
      const index = Number((query.get("part") ?? "0/3").split("/")[0]);
      const agents = { admitted: [admitted(index)], unreachable: [], gone: [] };
      return { body: { ...registryOf({ agents }), ...(index < 2 ? { next: `${index + 1}/3` } : {}) } };
    });
    const told: string[] = [];
    const whole = await getRegistry(plane, { agent: "m/S" }, (done, all) => told.push(`${done}/${all}`));
    expect(whole.agents.admitted.map(({ id }) => id)).toEqual(["m-S0", "m-S1", "m-S2"]);
    expect(whole).not.toHaveProperty("next");
    expect(told).toEqual(["1/3", "2/3"]);
    expect(asked).toEqual(["?agent=m%2FS", "?agent=m%2FS&at=40&part=1%2F3", "?agent=m%2FS&at=40&part=2%2F3"]);
  });

  test("a plane that does not get on, or answers no, ends it with its words", async () => {
    const stuck = await planeOf(() => ({ body: { ...registryOf(), next: "1/3" } }));
    await expect(getRegistry(stuck.plane, {}, quiet)).rejects.toThrow("did not get beyond part 1/3");
    const gone = await planeOf(() => ({ status: 409, body: "there is no entry 99 yet: the log ends at 40\n" }));
    await expect(getRegistry(gone.plane, { at: 99 }, quiet)).rejects.toThrow(
      /^there is no entry 99 yet: the log ends at 40$/,
    );
    const lost = await planeOf(() => ({ status: 503, body: "1 of 3 replicas answered\n" }));
    await expect(getRegistry(lost.plane, {}, quiet)).rejects.toThrow("answered 503: 1 of 3 replicas answered");
    const wrong = await planeOf(() => ({ status: 401, body: "" }));
    await expect(getHistory(wrong.plane, {}, quiet)).rejects.toThrow("does not accept this principal");
  });

  test.each(["0", "-1", "1.5", "1e3", "x", "", "99999999999999999", "9007199254740993"])(
    "--at %s is no position",
    (text) => {
      expect(() => positionOf(text)).toThrow(UsageError);
    },
  );
  test("--at 12 is one", () => {
    expect(positionOf("12")).toBe(12);
  });
});

describe("history", () => {
  const change = { type: "admit-agent", agents: ["m-S1"], hostname: "a", who: "agents", when: WHEN, why: "registered" };
  const history: HistoryJson = {
    ...EXTENT,
    entries: [
      { position: 1, type: "membership", replicas: ["replica-1", "replica-2"] },
      { position: 2, type: "leader", leader: LEADER },
      {
        position: 3,
        type: "operations",
        changes: [
          change,
          { type: "prune", agents: ["a", "b", "c", "d", "e"], who: "master-1", when: WHEN, why: "too old" },
          { type: "disconnect-framework", agents: [], framework: "f", deadline: WHEN, who: "w", when: WHEN, why: "y" },
          { type: "set-credential", agents: [], principal: "p", role: "agent", who: "w", when: WHEN, why: "y" },
        ],
      },
      { position: 4, type: "truncate", to: 2 },
      { position: 5, type: "unreadable", reason: "it is of version 9" },
    ],
  };

  test("is one row a change, with who, what, when and why", () => {
    expect(formatHistory(history)).toBe(
      [
        "ENTRY  WHEN                      WHAT                  OF                                WHO       WHY",
        "1      -                         members of the log    replica-1 replica-2               -         -",
        "2      -                         leads from here       master-1                          -         master id m",
        `3      ${WHEN}  admit-agent           m-S1 (a)                          agents    registered`,
        `3      ${WHEN}  prune                 a b c and 2 more                  master-1  too old`,
        `3      ${WHEN}  disconnect-framework  f until ${WHEN}  w         y`,
        `3      ${WHEN}  set-credential        p as agent                        w         y`,
        "4      -                         history dropped       before entry 2                    -         -",
        "5      -                         cannot be read        -                                 -         it is of version 9",
        "",
      ].join("\n"),
    );
    expect(formatHistory({ ...history, entries: [] })).toBe("no changes\n");
  });

  test("says whose a framework is, and which roles got which weight and quota", () => {
    const by = { agents: [], who: "o", when: WHEN, why: "y" };
    const weights = ["a", "b", "c", "d"].map((role, n) => ({ role, weight: n + 1 }));
    const quotas: readonly QuotaJson[] = [
      { role: "a", guarantees: { cpus: 1, mem: 64 }, limits: { cpus: 2 } },
      { role: "b", guarantees: {}, limits: { cpus: 0 } },
      { role: "c", guarantees: {}, limits: {} },
    ];
    const changes = [
      { ...by, type: "register-framework", framework: "f", principal: "p" },
      { ...by, type: "update-weights", weights },
      { ...by, type: "update-quota", quotas },
    ];
    const shown = formatHistory({ ...EXTENT, entries: [{ position: 3, type: "operations", changes }] });
    expect(shown).toMatch(/ register-framework +f of p +o +y\n/);
    expect(shown).toMatch(/ update-weights +a 1, b 2, c 3 and 1 more +o +y\n/);
    expect(shown).toMatch(
      / update-quota +a at least cpus:1;mem:64 at most cpus:2, b at most cpus:0, c without quota +o +y\n/,
    );
  });

  test("is read page by page, to where it ended when it was first asked", async () => {
    const { plane, asked } = await planeOf((query) => {
      const from = Number(query.get("from") ?? 1);
      const entries = [{ position: from, type: "operations", changes: [change] }];
      return { body: { ...EXTENT, decided_to: 41 + from, entries, ...(from < 40 ? { next: from + 20 } : {}) } };
    });
    const told: string[] = [];
    const whole = await getHistory(plane, {}, (done, all) => told.push(`${done}/${all}`));
    expect(whole.entries.map(({ position }) => position)).toEqual([1, 21, 41]);
    expect(asked).toEqual(["?history=true", "?at=41&from=21&history=true", "?at=41&from=41&history=true"]);
    expect(told).toEqual(["20/41", "40/41"]);
    const stuck = await planeOf(() => ({ body: { ...EXTENT, entries: [], next: 7 } }));
    await expect(getHistory(stuck.plane, { at: 30 }, quiet)).rejects.toThrow("did not get beyond entry 7");
  });
});
