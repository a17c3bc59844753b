import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { agentMessageSchema, planeMessageSchema } from "#protocol/agent.ts";
import { PROTOCOL_VERSION } from "#protocol/version.ts";

/** The structure of a schema as text: types, keys and literals, without functions. */
function shape(schema: unknown): string {
  return JSON.stringify(schema, (key, value: unknown) =>
    typeof value === "function" || key === "~standard" || key === "message"
      ? undefined
      : value instanceof RegExp
        ? value.source
        : value,
  );
}

test("a change of the wire between agent and plane bumps PROTOCOL_VERSION", () => {
  const hash = createHash("sha256")
    .update(shape(agentMessageSchema))
    .update(shape(planeMessageSchema))
    .digest("hex")
    .slice(0, 16);
  // Changing this line? Then bump PROTOCOL_VERSION as well, and say in CHANGELOG.md what agents of the version before see.
  expect([PROTOCOL_VERSION, hash]).toEqual([2, "eea86008098284a4"]);
});
