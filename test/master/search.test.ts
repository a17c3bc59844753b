// How callers find the leader: the real finder, among candidates that are a few lines each.
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { Epoch } from "#protocol/ids.ts";
import type { KnownLeader, Leadership, NotLeading } from "#protocol/leadership.ts";
import { LeaderFinder } from "../../src/master/leader-finder.ts";
import { turnAfter } from "../../src/master/search.ts";

type Answer = string | NotLeading;

/** A cluster of candidates: who leads, who cannot be reached, and what was done where. */
class Candidates {
  readonly names: readonly string[];
  leader: KnownLeader;
  readonly gone = new Set<string>();
  /** Execute what they are asked, and then the answer is lost. */
  readonly mute = new Set<string>();
  readonly overloaded = new Set<string>();
  /** Answers that it does not lead, and knows nobody: cut off from the log. */
  cutOff: string | undefined;
  now = 1_000_000;
  readonly calls: string[] = [];
  /** What a candidate answers to being asked to stand while the leader does not answer. */
  onStand: (candidate: string, insteadOf: Epoch) => Leadership = (candidate) => {
    this.leader = { candidate, epoch: (this.leader.epoch + 10) as Epoch };
    return { type: "leading", ...this.leader };
  };

  constructor(masters: number) {
    this.names = turnAfter(
      Array.from({ length: masters }, (_, i) => `master-${i + 1}`),
      `master-${masters}`,
    );
    this.leader = { candidate: "master-1", epoch: 5 as Epoch };
  }

  finder() {
    const stub = (name: string) => ({
      work: async (): Promise<Answer> => {
        this.#reach(name, "work");
        if (name === this.cutOff) return { type: "not-leading", reason: "no quorum" };
        if (name === this.leader.candidate) return `done by ${name}`;
        return { type: "not-leading", reason: `${name} does not lead`, leader: this.leader };
      },
      stand: async (insteadOf: Epoch): Promise<Leadership> => {
        this.#reach(name, `stand(${insteadOf})`);
        if (name === this.leader.candidate) return { type: "leading", ...this.leader };
        const follow = { type: "not-leading", reason: `${this.leader.candidate} leads`, leader: this.leader } as const;
        const isThere = !this.gone.has(this.leader.candidate) && this.leader.candidate !== this.cutOff;
        return this.leader.epoch > insteadOf || isThere ? follow : this.onStand(name, insteadOf);
      },
    });
    return new LeaderFinder({ candidates: this.names, stub, now: () => millis(this.now) });
  }

  #reach(name: string, what: string): void {
    this.calls.push(`${name} ${what}`);
    if (this.overloaded.has(name)) throw Object.assign(new Error("too many requests"), { overloaded: true });
    if (this.gone.has(name)) throw new Error("no such object");
    if (this.mute.has(name)) throw new Error("the connection broke");
  }

  take(): string[] {
    return this.calls.splice(0);
  }
}

type Finder = ReturnType<Candidates["finder"]>;
const read = (finder: Finder) => finder.read((master) => master.work());
const write = (finder: Finder) => finder.write((master) => master.work());

describe("[M45] finding", () => {
  test("the first candidate is asked first; what it answers is followed, and remembered", async () => {
    const candidates = new Candidates(3);
    candidates.leader = { candidate: "master-3", epoch: 9 as Epoch };
    const finder = candidates.finder();
    expect(await write(finder)).toBe("done by master-3");
    expect(await write(finder)).toBe("done by master-3");
    expect(candidates.take()).toEqual(["master-1 work", "master-3 work", "master-3 work"]);
    expect(finder.known).toEqual({ candidate: "master-3", epoch: 9 });
  });

  test("the leader cannot be reached: the next one stands instead of its epoch", async () => {
    const candidates = new Candidates(3);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.gone.add("master-1").add("master-2");
    expect(await read(finder)).toBe("done by master-3");
    expect(candidates.take()).toEqual(["master-1 work", "master-2 stand(5)", "master-3 stand(5)", "master-3 work"]);
  });

  test("who knows no epoch yet learns it, and asks again with it", async () => {
    const candidates = new Candidates(2);
    candidates.gone.add("master-1");
    expect(await read(candidates.finder())).toBe("done by master-2");
    expect(candidates.take()).toEqual([
      "master-1 work",
      "master-2 stand(0)",
      "master-1 work",
      "master-2 stand(5)",
      "master-2 work",
    ]);
  });

  test("one that is looking is enough: the others are not asked, and the caller hears why", async () => {
    const candidates = new Candidates(3);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.gone.add("master-1");
    candidates.onStand = () => ({ type: "not-leading", reason: "silent for 3 s of 10", looking: true });
    expect(await read(finder)).toMatchObject({ type: "not-leading", reason: expect.stringContaining("3 s of 10") });
    expect(candidates.take()).toEqual(["master-1 work", "master-2 stand(5)"]);
  });

  test("one that finds no quorum is not: the next one may", async () => {
    const candidates = new Candidates(3);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.gone.add("master-1");
    const stand = candidates.onStand;
    candidates.onStand = (name, epoch) =>
      name === "master-2" ? { type: "not-leading", reason: "no quorum" } : stand(name, epoch);
    expect(await read(finder)).toBe("done by master-3");
  });

  test("a candidate of a lower epoch is not followed; two that name each other end", async () => {
    const candidates = new Candidates(2);
    const finder = candidates.finder();
    finder.learn({ candidate: "master-2", epoch: 9 as Epoch });
    expect(await read(finder)).toMatchObject({ type: "not-leading", reason: "master-2 does not lead" });
    let epoch = 10;
    const liars = new LeaderFinder({
      candidates: ["master-1", "master-2"],
      now: () => millis(0),
      stub: (name) => ({
        stand: async (): Promise<Leadership> => ({ type: "not-leading", reason: "no" }),
        work: async (): Promise<Answer> => ({
          type: "not-leading",
          reason: "not me",
          leader: { candidate: name === "master-1" ? "master-2" : "master-1", epoch: ++epoch as Epoch },
        }),
      }),
    });
    expect(await liars.read((master) => master.work())).toMatchObject({ type: "not-leading" });
    expect(epoch).toBeLessThan(20);
  });

  test("everybody is gone: each was asked once", async () => {
    const candidates = new Candidates(3);
    for (const name of candidates.names) candidates.gone.add(name);
    expect(await read(candidates.finder())).toMatchObject({ type: "not-leading" });
    expect(candidates.take()).toHaveLength(4);
  });

  test("one that answers, and neither leads nor knows who does, may be cut off from the log: others are asked, now and then", async () => {
    const candidates = new Candidates(2);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.cutOff = "master-1";
    const stand = candidates.onStand;
    candidates.onStand = () => ({ type: "not-leading", reason: "master-1 was heard 3 s ago", looking: true });
    const refused = { type: "not-leading", reason: "no quorum" };
    expect(await write(finder)).toEqual(refused);
    expect(await write(finder)).toEqual(refused);
    expect(candidates.take()).toEqual(["master-1 work", "master-2 stand(5)", "master-1 work"]);
    candidates.onStand = stand;
    candidates.now += 5_000;
    expect(await write(finder)).toBe("done by master-2");
  });

  test("a plane of one candidate: a call that threw is made once more, to the object as it is now", async () => {
    const candidates = new Candidates(1);
    const finder = candidates.finder();
    candidates.gone.add("master-1");
    expect(await read(finder)).toMatchObject({ type: "not-leading" });
    candidates.gone.clear();
    expect(await read(finder)).toBe("done by master-1");
  });
});

describe("[M46] repeating", () => {
  test("a write whose answer was lost is not made again, and the next one finds the leader", async () => {
    const candidates = new Candidates(2);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.gone.add("master-1");
    expect(await write(finder)).toMatchObject({ type: "not-leading", reason: expect.stringContaining("not known") });
    expect(candidates.take()).toEqual(["master-1 work", "master-2 stand(5)"]);
    expect(await write(finder)).toBe("done by master-2");
  });

  test("a write that a candidate did not take because it does not lead is made at the leader", async () => {
    const candidates = new Candidates(2);
    candidates.leader = { candidate: "master-2", epoch: 9 as Epoch };
    expect(await write(candidates.finder())).toBe("done by master-2");
  });

  test("a read is made once more when the leader lives as others see it, and not again and again", async () => {
    const candidates = new Candidates(2);
    const finder = candidates.finder();
    finder.learn(candidates.leader);
    candidates.mute.add("master-1");
    expect(await read(finder)).toMatchObject({ type: "not-leading", reason: expect.stringContaining("broke") });
    expect(candidates.take()).toEqual(["master-1 work", "master-2 stand(5)", "master-1 work", "master-2 stand(5)"]);
  });

  test("an overloaded leader lives: nobody stands, and nothing is asked twice", async () => {
    const candidates = new Candidates(2);
    candidates.overloaded.add("master-1");
    for (const ask of [read, write]) {
      expect(await ask(candidates.finder())).toMatchObject({ type: "not-leading", overloaded: true });
      expect(candidates.take()).toEqual(["master-1 work"]);
    }
  });
});
