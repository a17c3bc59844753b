import { expect, test } from "vitest";
import { reachedAt } from "../../src/http/address.ts";

test("an address always has its port", () => {
  expect(reachedAt("https://mesoflare.example.workers.dev/x")).toBe("mesoflare.example.workers.dev:443");
  expect(reachedAt("http://127.0.0.1:5050/")).toBe("127.0.0.1:5050");
});
