// The log's commands against real planes: members that change, refusals, a plane without a leader, and somebody who does
// not wait for the answer.
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { LogJson, MembershipJson } from "../../cli/log/answers.ts";
import { Command, mesoflare, startMesoflare } from "./harness/command.ts";
import { FaultyPlane } from "./harness/faulty-plane.ts";
import { built, freePort, onEnd, temporaryDirectory } from "./harness/workspace.ts";

test("a local cluster: status, add, remove, replace, verify, refusals and wrong names", async () => {
  const state = join(await temporaryDirectory(), "state");
  const flags = ["--state", state, "--port", String(await freePort()), "--agents", "0", "--replicas", "3"];
  const launcher = new Command(process.execPath, [built("mesoflare.js"), "start", ...flags]);
  await launcher.prints("ready in");
  const log = (...args: readonly string[]) => mesoflare(join(state, "context.json"), "log", ...args);
  const members = async () => (JSON.parse((await log("status", "--json")).stdout) as LogJson).membership?.toSorted();

  const first = await log("status");
  expect(first).toMatchObject({ code: 0, stderr: "" });
  expect(first.stdout).toMatch(
    /^cluster [0-9a-f-]{36}; 3 members since entry 1, 3 vote, 2 are needed\nREPLICA +MEMBER +STATUS/,
  );
  expect(first.stdout).not.toMatch(/warning|note/);

  expect(await log("add", "replica-4")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^replica-4 was added by entry \d+: the 4 members are .*replica-4; 3 of them decide\n$/,
    ),
  });
  expect((await log("status")).stdout).toMatch(/warning: 4 members bear the loss of 1/);
  expect(await log("add", "replica-4")).toMatchObject({
    code: 1,
    stdout: "",
    stderr: "mesoflare: refused: replica-4 is a member already\n",
  });
  const removed = await log("remove", "replica-4", "--json");
  expect((JSON.parse(removed.stdout) as MembershipJson).membership).toHaveLength(3);
  expect((await log("replace", "replica-3", "replica-5")).stdout).toMatch(
    /^replica-3 was replaced by replica-5 by entry/,
  );
  expect(await members()).toEqual(["replica-1", "replica-2", "replica-5"]);
  expect((await log("status")).stdout).toMatch(/note: replica-3 is no member: removed or replaced/);
  expect(await log("verify")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\d+ entries at 3 replicas: nothing wrong\n$/),
    stderr: "",
  });
  const verified = JSON.parse((await log("verify", "--json")).stdout) as { findings: unknown[]; replicas: string[] };
  expect(verified).toMatchObject({ findings: [] });

  for (const wrong of [["add", "replica-0"], ["add", "../x"], ["remove"], ["replace", "replica-1"], ["dance"], []]) {
    expect([wrong, (await log(...wrong)).code]).toEqual([wrong, 2]);
  }
  for (const command of ["status", "add", "remove", "replace", "verify"]) {
    expect(await log(command, "--help")).toMatchObject({ code: 0, stdout: expect.stringContaining("Exit codes: 0") });
  }

  // The next plane begins with the names that REPLICAS stands for, and finds the members from there.
  await launcher.leave("SIGINT");
  const second = new Command(process.execPath, [built("mesoflare.js"), "start", ...flags]);
  await second.prints("ready in");
  expect(await members()).toEqual(["replica-1", "replica-2", "replica-5"]);
});

test("without a quorum: status says what is wrong, a change finds no leader, verify reports who is away", async () => {
  const plane = await FaultyPlane.start();
  const log = (...args: readonly string[]) => mesoflare(plane.state.context, "log", ...args);
  await plane.breakReplica(2);
  const one = await log("status");
  expect(one.stdout).toMatch(/warning: replica-2 does not answer \(.*made to fail.*log replace replica-2/);
  const refused = await log("remove", "replica-1");
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("could not decide") });
  const verified = await log("verify");
  expect(verified).toMatchObject({ code: 1, stdout: expect.stringMatching(/replica-2 +unreachable/) });
  expect((await log("replace", "replica-2", "replica-4")).code).toBe(0);
  expect((await log("verify")).code).toBe(0);

  await plane.breakReplica(1);
  await plane.breakReplica(4);
  const none = await log("status");
  expect(none).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/warning: no quorum: 1 of 3 members votes, 2 are needed/),
  });
  const change = await log("add", "replica-5");
  expect(change).toMatchObject({ code: 1, stderr: expect.stringMatching(/refused|503/) });
  expect((await log("verify")).code).toBe(1);
});

test("Ctrl-C while a change is made says that it may still be made", async () => {
  const silent = createServer((request, response) => {
    if (request.method === "GET") response.end('{"replicas":[]}');
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  onEnd(async () => {
    silent.closeAllConnections();
    silent.close();
  });
  const context = join(await temporaryDirectory(), "context.json");
  const plane = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  await writeFile(context, JSON.stringify({ plane, principal: "admin", secret: "a secret of no use" }), {
    mode: 0o600,
  });
  const command = startMesoflare(context, "log", "add", "replica-4");
  await command.prints("waiting until replica-4");
  await command.leave("SIGINT");
  expect(await command.exited()).toBe(130);
  expect(command.stderr).toMatch(/may still be made: 'mesoflare log status' shows the members\n$/);
});
