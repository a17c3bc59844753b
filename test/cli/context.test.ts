import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { contextCandidates, loadContext } from "../../cli/context.ts";

let directory: string;
beforeEach(async () => void (directory = await mkdtemp(join(tmpdir(), "mesoflare-context-"))));
afterEach(() => rm(directory, { recursive: true }));

const context = { plane: "https://plane.example", principal: "me", secret: "long enough" };
const ignore = (): void => undefined;

async function write(content: string, mode = 0o600): Promise<string> {
  const path = join(directory, "context.json");
  await writeFile(path, content, { mode });
  return path;
}

test("--context wins over MESOFLARE_CONTEXT, which wins over the default places", () => {
  const environment = { MESOFLARE_CONTEXT: "/b", XDG_STATE_HOME: "/state", XDG_CONFIG_HOME: "/config" };
  expect(contextCandidates({ named: "/a", environment })).toEqual(["/a"]);
  expect(contextCandidates({ environment })).toEqual(["/b"]);
  expect(contextCandidates({ environment: { ...environment, MESOFLARE_CONTEXT: "" } })).toEqual([
    "/state/mesoflare/context.json",
    "/config/mesoflare/context.json",
  ]);
  expect(contextCandidates({ environment: {} })).toEqual([
    join(homedir(), ".local/state/mesoflare/context.json"),
    join(homedir(), ".config/mesoflare/context.json"),
  ]);
});

test("a context is read, and one that others can read is warned of", async () => {
  const warnings: string[] = [];
  const path = await write(JSON.stringify(context), 0o644);
  expect(await loadContext({ named: path, environment: {} }, (text) => warnings.push(text))).toEqual(context);
  expect(warnings).toEqual([expect.stringContaining(`chmod 600 ${path}`)]);
});

test("no context: the error says where it looked and what to do", async () => {
  const missing = join(directory, "none.json");
  await expect(loadContext({ named: missing, environment: {} }, ignore)).rejects.toThrow(
    new RegExp(`${missing}.*mesoflare start.*credential new`),
  );
});

test.each([
  ["not JSON", "{"],
  ["no plane", JSON.stringify({ ...context, plane: undefined })],
  ["a plane that is no web address", JSON.stringify({ ...context, plane: "ftp://plane" })],
  ["a short secret", JSON.stringify({ ...context, secret: "short" })],
])("%s is refused with the file's name", async (_, content) => {
  const path = await write(content);
  await expect(loadContext({ named: path, environment: {} }, ignore)).rejects.toThrow(path);
});
