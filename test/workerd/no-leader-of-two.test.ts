import { env } from "cloudflare:test";
import { expect, test } from "vitest";
import { initialise, request } from "./plane.ts";

Object.assign(env, { MASTERS: "2" });

test("[M40] before anybody has led, the second candidate does not lead because it is called, and the first one does", async () => {
  await initialise();
  const answer = await request("/masters/master-2/state", { as: "reader" });
  expect([answer.status, await answer.text()]).toEqual([503, expect.stringContaining("nobody has led yet")]);
  expect((await request("/masters/master-1/state", { as: "reader" })).status).toBe(200);
  expect((await request("/masters/master-2/state", { as: "reader" })).status).toBe(307);
});
