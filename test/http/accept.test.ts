import { expect, test } from "vitest";
import { reachedAt } from "../../src/http/address.ts";
import { acceptsJson } from "../../src/http/scheduler.ts";

test.each([
  [null, true],
  ["application/json", true],
  ["application/json;q=0.1, application/x-protobuf", true],
  ["*/*", true],
  ["application/*", true],
  ["application/json;q=0", false],
  ["application/x-protobuf", false],
  ["", false],
])("Accept: %s", (header, expected) => {
  expect(acceptsJson(header)).toBe(expected);
});

test("an address always has its port", () => {
  expect(reachedAt("https://mesoflare.example.workers.dev/x")).toBe("mesoflare.example.workers.dev:443");
  expect(reachedAt("http://127.0.0.1:5050/")).toBe("127.0.0.1:5050");
});
