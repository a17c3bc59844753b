// Tests that only the platform can show: eviction, alarms, hibernation, SQL. They run inside workerd.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [cloudflareTest({ wrangler: { configPath: "../../wrangler.toml" } })],
  test: { name: "workerd", include: ["**/*.test.ts"] },
});
