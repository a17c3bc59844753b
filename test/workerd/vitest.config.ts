// Tests that only the platform can show: eviction, alarms, hibernation, SQL. They run inside workerd.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { formatVerifiers } from "../../src/protocol/credentials.ts";
import { makeVerifier } from "../../src/protocol/scram.ts";
import { nodeScram } from "../node-scram.ts";
import { SECRETS } from "./secrets.ts";

const verifiers = await Promise.all(
  Object.entries(SECRETS).map(async ([principal, { secret, role }]) => ({
    principal,
    role,
    ...(await makeVerifier(nodeScram, secret, { salt: new Uint8Array(16).fill(principal.length), iterations: 4096 })),
  })),
);

export default defineConfig({
  plugins: [
    cloudflareTest({
      wrangler: { configPath: "../../wrangler.toml" },
      miniflare: { bindings: { CREDENTIALS: formatVerifiers(verifiers) } },
    }),
  ],
  test: { name: "workerd", include: ["**/*.test.ts"] },
});
