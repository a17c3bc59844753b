// The agent's state and its journal, kept in step: `state` holds exactly what is on disk.
import { mkdirSync } from "node:fs";
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import { StartError } from "../exit-code.ts";
import { Journal, readJournal } from "./journal.ts";
import type { Paths } from "./paths.ts";
import { type AgentState, apply, type JournalRecord, journalRecordSchema, NEW_AGENT, snapshot } from "./state.ts";

export class Checkpoint {
  readonly #held: { state: AgentState };
  readonly #journal: Journal<JournalRecord>;
  /** Bytes of an interrupted write that were cut off at the start. */
  readonly tornBytes: number;

  private constructor(held: { state: AgentState }, journal: Journal<JournalRecord>, tornBytes: number) {
    this.#held = held;
    this.#journal = journal;
    this.tornBytes = tornBytes;
  }

  /** Reads what an earlier agent left. Refuses a damaged or newer journal: forgetting a task could start it twice. */
  static async open(paths: Paths): Promise<Checkpoint> {
    mkdirSync(paths.meta, { recursive: true, mode: 0o700 });
    const read = readJournal(paths.journal);
    if (read.type === "damaged")
      throw new StartError(
        `${paths.journal} is damaged in line ${read.line}: restore it, or remove ${paths.meta} to start as a new agent without its tasks`,
      );
    const held = {
      state: read.records.map((record) => parseRecord(record, paths)).reduce<AgentState>(apply, NEW_AGENT),
    };
    const journal = await Journal.open<JournalRecord>(paths.journal, {
      onDurable: (records) => {
        held.state = records.reduce<AgentState>(apply, held.state);
      },
      snapshot: () => snapshot(held.state),
    });
    return new Checkpoint(held, journal, read.tornBytes);
  }

  get state(): AgentState {
    return this.#held.state;
  }

  /** Durable, and part of `state`, when it resolves. Rejects when the disk refuses: then nothing has changed. */
  append(records: readonly JournalRecord[]): Promise<void> {
    return this.#journal.append(records);
  }

  close(): Promise<void> {
    return this.#journal.close();
  }
}

function parseRecord(record: unknown, { journal }: Paths): JournalRecord {
  const parsed = v.safeParse(journalRecordSchema, record);
  if (parsed.success) return parsed.output;
  throw new StartError(
    `${journal} was written by another version of the agent: run that one (${describeIssue(parsed.issues)})`,
  );
}
