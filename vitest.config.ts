import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        // The examples import the library as its users do; their tests need no build.
        resolve: {
          alias: { "mesoflare/scheduler": fileURLToPath(new URL("src/scheduler/index.ts", import.meta.url)) },
        },
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**", "test/workerd/**", "test/tidy.test.ts"],
        },
      },
      { test: { name: "tidy", include: ["test/tidy.test.ts"] } },
      "./test/workerd/vitest.config.ts",
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
