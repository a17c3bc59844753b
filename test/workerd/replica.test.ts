// The way into a replica: text in, text out, whatever comes.
import { env } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { ENVELOPE_LETTERS_MAX } from "#log/limits.ts";
import { envelope, type ReplicaAnswer, type ReplicaMessage } from "#log/messages.ts";
import type { ClusterId, ReplicaId } from "#log/entry.ts";
import type { Env } from "../../src/durable-objects/env.ts";

const { REPLICA } = env as unknown as Env;
let replicas = 0;
const newReplica = () => REPLICA.get(REPLICA.idFromName(`alone-${++replicas}`));
const answerOf = async (text: string | Promise<string>) => JSON.parse(await text) as ReplicaAnswer;

const CLUSTER = "cluster-1" as ClusterId;
const NAME = "replica-1" as ReplicaId;
const enlist: ReplicaMessage = { type: "enlist", clusterId: CLUSTER, replicaId: NAME };
const status: ReplicaMessage = { type: "status" };

describe("[L13] a stranger", () => {
  test.each([
    ["an object", { v: 2, message: status }],
    ["nothing", undefined],
    ["no JSON", "{"],
    ["another JSON", '"status"'],
    ["an older version", JSON.stringify({ v: 1, message: status })],
    ["a newer version", JSON.stringify({ v: 3, message: status })],
    ["no message", JSON.stringify({ v: 2 })],
    ["more than a message may hold", `"${"x".repeat(ENVELOPE_LETTERS_MAX)}"`],
    ["lists in lists", `${"[".repeat(5_000)}${"]".repeat(5_000)}`],
  ])("who sends %s is told so, and nothing changes", async (_what, raw) => {
    const replica = newReplica();
    expect(await answerOf(replica.deliver(raw))).toMatchObject({ type: "invalid", standing: { status: "empty" } });
    expect(await answerOf(replica.deliver(JSON.stringify(envelope(status))))).toMatchObject({ type: "status" });
  });
});

describe("what nobody waits for", () => {
  const patient = (message: ReplicaMessage): string => JSON.stringify({ ...envelope(message), patient: true });

  test("[L4] is answered by itself, when it is stored", async () => {
    const replica = newReplica();
    expect(await answerOf(replica.deliver(patient(enlist)))).toMatchObject({ type: "enlisted" });
    expect(await answerOf(replica.deliver(JSON.stringify(envelope(status))))).toMatchObject({
      standing: { clusterId: CLUSTER, status: "recovering" },
    });
  });

  test("is taken before what came after it", async () => {
    const replica = newReplica();
    const first = answerOf(replica.deliver(patient(enlist)));
    const second = answerOf(replica.deliver(JSON.stringify(envelope(status))));
    expect(await second).toMatchObject({ standing: { status: "recovering" } });
    expect(await first).toMatchObject({ type: "enlisted" });
  });
});
