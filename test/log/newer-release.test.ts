import { describe, expect, test } from "vitest";
import type { Entry } from "#log/entry.ts";
import { position } from "#log/entry.ts";
import type { PageBounds, PageRead } from "#log/storage.ts";
import { envelope } from "#log/messages.ts";
import { parseEnvelope } from "#log/parse-message.ts";
import { type LogReader } from "#log/storage.ts";
import { step } from "#log/replica.ts";
import {
  ballot,
  catchUp,
  confirming,
  learn,
  membershipOf,
  promise,
  R1,
  R2,
  R3,
  read,
  record,
  TestReplica,
  value,
  write,
} from "./sample.ts";

const snapshot = { type: "snapshot", of: "everything" } as unknown as Entry;

describe("an entry of a type that this release does not know", () => {
  test.each([
    ["a write", write(ballot(1), 2, value("a"), snapshot)],
    ["a catch-up", catchUp([record(2, ballot(1)), record(3, ballot(1), snapshot)])],
  ])("[L36] in %s: the message is invalid, and the answer names the type", (_what, message) => {
    expect(parseEnvelope(structuredClone(envelope(message)))).toEqual({
      type: "invalid",
      reason: expect.stringContaining("of type 'snapshot'"),
    });
  });

  /** The storage of a newer release, opened by this one: what is at `at` cannot be read. */
  class NewerReader implements LogReader {
    readonly #below: LogReader;
    readonly #at: number;
    constructor(below: LogReader, at: number) {
      this.#below = below;
      this.#at = at;
    }
    end() {
      return this.#below.end();
    }
    page(from: number, bounds: PageBounds): PageRead {
      const page = this.#below.page(position(from), bounds);
      const isIn = from <= this.#at && this.#at <= (bounds.to ?? Infinity);
      return isIn ? { type: "unreadable", position: position(this.#at) } : page;
    }
  }

  test.each([promise(ballot(2)), read(3), learn(ballot(1), 3), write(ballot(2), 3, value("B"))])(
    "[L36] stored, and needed by $type: ignored, naming the position, and nothing is dropped or taken for damage",
    (message) => {
      const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
      replica.deliver(write(ballot(1), 2, value("a"), value("b")));
      replica.restart();
      const reader = new NewerReader(replica.storage, 3);
      const { state, effects, answer } = step(replica.state, message, {
        reader,
        newIncarnation: () => {
          throw new Error("no other life begins");
        },
      });
      expect(answer).toMatchObject({ type: "ignored", reason: expect.stringContaining("the entry at 3") });
      expect(answer).toHaveProperty("reason", expect.stringContaining("newer release"));
      expect(effects).toEqual([]);
      expect(state).toBe(replica.state);
    },
  );

  test("[L36] what does not need it is answered", () => {
    const replica = new TestReplica(R1, membershipOf(R1, R2, R3));
    replica.deliver(write(ballot(1), 2, value("a"), value("b")));
    const surroundings = { reader: new NewerReader(replica.storage, 3), newIncarnation: replica.newIncarnation };
    expect(step(replica.state, read(1), surroundings)).toMatchObject({
      answer: { type: "page", page: { records: [{ position: 1 }, { position: 2 }], next: 3 } },
      effects: [],
    });
    expect(step(replica.state, confirming(ballot(3)), surroundings).answer.type).toBe("confirmed");
  });
});
