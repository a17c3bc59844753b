// `mesoflare registry` against a real plane with an agent: now, before, and how it came to that.
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HistoryJson, RegistryJson } from "../../cli/registry/answers.ts";
import { Command, mesoflare } from "./harness/command.ts";
import { built, freePort, temporaryDirectory } from "./harness/workspace.ts";

test("the registry and its history, as tables and as JSON, and what is refused", async () => {
  const state = join(await temporaryDirectory(), "state");
  const flags = ["--state", state, "--port", String(await freePort()), "--agents", "1", "--replicas", "3"];
  const launcher = new Command(process.execPath, [built("mesoflare.js"), "start", ...flags]);
  await launcher.prints("ready in");
  const registry = (...args: readonly string[]) => mesoflare(join(state, "context.json"), "registry", ...args);

  const shown = await registry();
  expect(shown).toMatchObject({ code: 0, stderr: "" });
  expect(shown.stdout).toMatch(
    /^after entry \d+, the newest; led by master-1 since entry \d+; agents: 1 admitted, 0 unreachable, 0 gone\n\nAGENT +STATE/,
  );
  const now = JSON.parse((await registry("--json")).stdout) as RegistryJson;
  const [agent] = now.agents.admitted;
  const id = agent?.id ?? "none";
  expect(shown.stdout).toContain(id);

  const before = await registry("--at", String(now.leader?.epoch ?? 0));
  expect(before.stdout).toMatch(/of \d+; led by master-1.*0 admitted[^]*\nno agents\n/);

  const history = await registry("--history");
  expect(history.stdout).toMatch(
    /^ENTRY +WHEN +WHAT +OF +WHO +WHY\n1 +- +members of the log +replica-1 replica-2 replica-3/,
  );
  expect(history.stdout).toMatch(new RegExp(`admit-agent +${id}`));
  const { entries } = JSON.parse((await registry("--history", "--agent", id, "--json")).stdout) as HistoryJson;
  expect(entries).toMatchObject([{ type: "operations", changes: [{ type: "admit-agent", agents: [id] }] }]);
  expect((await registry("--history", "--agent", "nobody")).stdout).toBe("no changes\n");

  expect(await registry("--at", "9999")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: expect.stringMatching(/^mesoflare: there is no entry 9999 yet: the log ends at \d+\n$/),
  });
  for (const wrong of [["--at", "0"], ["--at", "x"], ["--at"], ["--nonsense"], ["a", "b"]]) {
    expect([wrong, (await registry(...wrong)).code]).toEqual([wrong, 2]);
  }
  expect(await registry("--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("Exit codes: 0") });
});
