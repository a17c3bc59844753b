// The log as an array, for Registrars one after the other: what was appended is chosen, unless a test says that the answer or the write is
// lost. It truncates as the replicas do.
import type { ReadAnswer, ReadCall } from "#log/calls.ts";
import { type Entry, position, type PositionedEntry } from "#log/entry.ts";
import { PAGE_LETTERS_MAX } from "#log/limits.ts";
import { decodeEntry, type RegistrarEntry } from "#registrar/codec.ts";
import { isLeading, type RegistrarEffect, type RegistrarInput } from "#registrar/registrar.ts";
import { ELECTORATE, MEMBERSHIP_ENTRY, type TestRegistrar, unavailable } from "./sample.ts";

/** What becomes of one write: whether it is chosen, and whether the writer hears of it. */
export interface Fate {
  readonly isChosen: boolean;
  readonly isAnswered: boolean;
}
export const DONE: Fate = { isChosen: true, isAnswered: true };

export class MemoryLog {
  /** From position 1 on; undefined where it was truncated. */
  readonly #entries: (Entry | undefined)[] = [MEMBERSHIP_ENTRY];
  begin = 1;
  fate: (entries: readonly Entry[]) => Fate = () => DONE;
  /** Letters of one page. */
  pageLetters = PAGE_LETTERS_MAX;
  /** Positions that were read, in order of the questions. */
  readonly reads: (readonly [from: number, to: number])[] = [];

  get end(): number {
    return this.#entries.length;
  }

  append(...entries: readonly Entry[]): this {
    for (const entry of entries) {
      this.#entries.push(entry);
      if (entry.type === "truncate") this.truncate(entry.to);
    }
    return this;
  }

  truncate(to: number): void {
    this.begin = Math.max(this.begin, to);
    this.#entries.fill(undefined, 0, this.begin - 1);
  }

  entries(): readonly PositionedEntry[] {
    return this.#entries.flatMap((entry, index) =>
      entry === undefined ? [] : [{ position: position(index + 1), entry }],
    );
  }

  /** What the Registrar's own entries say. */
  decoded(): readonly (RegistrarEntry & { readonly at: number })[] {
    return this.entries().flatMap(({ position: at, entry }) => {
      const decoded = entry.type === "append" ? decodeEntry(entry.data) : undefined;
      if (decoded?.type === "unreadable") throw new Error(`${at}: ${decoded.reason}`);
      return decoded === undefined ? [] : [{ ...decoded.entry, at }];
    });
  }

  read({ from, to = position(this.end), entriesMax }: ReadCall): ReadAnswer {
    this.reads.push([from, to]);
    const first = Math.max(from, this.begin);
    const page: PositionedEntry[] = [];
    let letters = 0;
    for (const positioned of this.entries()) {
      if (positioned.position < first || positioned.position > to) continue;
      letters += positioned.entry.type === "append" ? positioned.entry.data.length : 0;
      if (page.length === entriesMax || (page.length > 0 && letters > this.pageLetters)) break;
      page.push(positioned);
    }
    return {
      type: "entries",
      entries: page,
      begin: position(this.begin),
      decidedTo: position(first + page.length),
      end: position(this.end),
    };
  }

  /** Gives a Registrar an input, and answers everything that it asks of the log, to the end or `callsMax` calls. */
  drive(tested: TestRegistrar, input: RegistrarInput, callsMax = Infinity): readonly RegistrarEffect[] {
    const told: RegistrarEffect[] = [];
    const open = [...tested.input(input)];
    let calls = 0;
    for (let effect = open.shift(); effect !== undefined; effect = open.shift()) {
      const answer = this.#answer(effect);
      if (answer === undefined) {
        told.push(effect);
        continue;
      }
      calls += 1;
      if (calls > callsMax) break;
      open.push(...tested.input(answer));
    }
    return told;
  }

  /** Stands until it leads, or says why not. */
  elect(tested: TestRegistrar): readonly RegistrarEffect[] {
    return isLeading(tested.registrar) ? [] : this.drive(tested, { type: "stand", forced: true });
  }

  #answer(effect: RegistrarEffect): RegistrarInput | undefined {
    switch (effect.type) {
      case "elect": {
        const { ballot } = effect.call;
        const answer = {
          type: "elected",
          electorate: ELECTORATE,
          begin: position(this.begin),
          next: position(this.end + 1),
        } as const;
        return { type: "elect-answered", ballot, answer };
      }
      case "read":
        return { type: "read-answered", ballot: effect.ballot, answer: this.read(effect.call) };
      case "append": {
        const { ballot, entries, position: at } = effect.call;
        if (at !== this.end + 1) throw new Error(`a write at ${at} of a log that ends at ${this.end}`);
        const { isChosen, isAnswered } = this.fate(entries);
        if (isChosen) this.append(...entries);
        const answer = isAnswered ? ({ type: "appended", electorate: ELECTORATE } as const) : unavailable;
        return { type: "append-answered", ballot, answer };
      }
      case "confirm":
        return { type: "confirm-answered", ballot: effect.call.ballot, answer: { type: "confirmed" } };
      case "gather":
        return { type: "gathered" };
      case "settle": {
        const answer = { type: "settled", unseated: [], behind: [], hasMoved: false, isUndecided: false } as const;
        return { type: "settle-answered", ballot: effect.call.ballot, answer };
      }
      default:
        return undefined;
    }
  }
}
