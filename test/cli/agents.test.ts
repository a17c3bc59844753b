import { expect, test } from "vitest";
import type { AgentId } from "#protocol/ids.ts";
import { formatAgents } from "../../cli/commands/agents.ts";

test("each agent has a line, also one whose resources nobody knows now", () => {
  const lines = formatAgents([
    {
      id: "m-S0" as AgentId,
      hostname: "one",
      state: "active",
      resources: { cpus: 8, mem: 1024 },
      used_resources: { cpus: 2 },
      version: "0.1.0",
    },
    { id: "m-S1" as AgentId, hostname: "two", state: "unreachable" },
  ]).split("\n");
  expect(lines[1]).toMatch(/^m-S0\s+one\s+active\s+2\/8\s+0\/1024\s+0\.1\.0$/);
  expect(lines[2]).toMatch(/^m-S1\s+two\s+unreachable\s*$/);
});
