// Whether a candidate may take the leader's place, on virtual time: the world's answers are the test's.
import { describe, expect, test } from "vitest";
import { millis } from "#base/time.ts";
import type { Epoch } from "#protocol/ids.ts";
import type { KnownLeader } from "#protocol/leadership.ts";
import {
  LEADER_SILENCE_MS,
  leadsWhenCalled,
  LOOK_INTERVAL_MS,
  ownerOf,
  quorumSilence,
  type SignOfLife,
  type Silences,
  stand,
  type TailSeen,
  type Verdict,
} from "../../src/master/standing.ts";

const CANDIDATES = ["master-1", "master-2", "master-3"];
const leader = (candidate: string, epoch: number): KnownLeader => ({ candidate, epoch: epoch as Epoch });
const tailOf = (known: KnownLeader | undefined): TailSeen => ({ type: "tail", leader: known });
const SILENT: SignOfLife = { type: "silent", reason: "the object threw" };

/** What the world says as time goes by, to master-2; and what it was asked. */
class World {
  now = 1_000_000;
  readonly asked: string[] = [];
  readonly waited: number[] = [];
  tail: () => TailSeen = () => tailOf(leader("master-1", 5));
  sign: () => SignOfLife = () => SILENT;
  silences: () => Silences = () => ({ members: 3, silentMs: [60_000, 60_000, 60_000] });

  stand(insteadOf = 5, { attempt = 0 } = {}): Promise<Verdict> {
    return stand(
      { self: "master-2", candidates: CANDIDATES, insteadOf, silenceMs: LEADER_SILENCE_MS, attempt },
      {
        random: { next: () => 0.5 },
        now: () => millis(this.now),
        tail: async () => this.#answer("tail", this.tail()),
        callLeader: async (candidate) => this.#answer(candidate, this.sign()),
        silences: async () => this.#answer("replicas", this.silences()),
        wait: async (ms) => {
          this.waited.push(ms);
          this.now += ms;
        },
      },
    );
  }

  #answer<T>(what: string, answer: T): T {
    this.asked.push(what);
    this.now += 5;
    return answer;
  }
}

test("[M40] a call alone makes a candidate lead only where the log names it, or nobody and it is the first", () => {
  const called = (self: string, known: KnownLeader | undefined): boolean => {
    const who = { self, candidates: CANDIDATES };
    return leadsWhenCalled(ownerOf(known, who), who);
  };
  expect(called("master-2", leader("master-2", 5))).toBe(true);
  expect(called("master-2", leader("master-1", 5))).toBe(false);
  expect(called("master-1", undefined)).toBe(true);
  expect(called("master-2", undefined)).toBe(false);
  // A candidate that this plane no longer has: MASTERS was lowered.
  expect(called("master-1", leader("master-5", 5))).toBe(true);
  expect(called("master-2", leader("master-5", 5))).toBe(false);
});

test("[M40] asked to stand, it goes on with its own epoch, or begins where nobody has led, without asking anybody", async () => {
  for (const known of [leader("master-2", 5), undefined]) {
    const world = new World();
    world.tail = () => tailOf(known);
    expect(await world.stand()).toEqual({ type: "elect" });
    expect(world.asked).toEqual(["tail"]);
  }
});

test("[M41] a newer epoch than the named one: it names that leader, and asks nobody else", async () => {
  const world = new World();
  world.tail = () => tailOf(leader("master-3", 9));
  expect(await world.stand(5)).toMatchObject({ type: "follow", leader: leader("master-3", 9) });
  expect(world.asked).toEqual(["tail"]);
});

test.each<SignOfLife>([{ type: "leads" }, { type: "overloaded" }])(
  "[M42] a leader that answers ($type) is not replaced, whatever the replicas have heard",
  async (sign) => {
    const world = new World();
    world.sign = () => sign;
    expect(await world.stand()).toMatchObject({ type: "follow", leader: leader("master-1", 5) });
    expect(world.asked).toEqual(["tail", "master-1"]);
  },
);

test("[M42] one that knows its successor is followed upwards, never downwards", async () => {
  const world = new World();
  world.sign = () => ({ type: "does-not-lead", leader: leader("master-3", 9) });
  expect(await world.stand()).toMatchObject({ type: "follow", leader: leader("master-3", 9) });
  world.sign = () => ({ type: "does-not-lead", leader: leader("master-3", 4) });
  expect(await world.stand()).toEqual({ type: "elect" });
});

describe("[M43] silence at the replicas", () => {
  test("of a quorum, and long enough: it may elect, after one look", async () => {
    const world = new World();
    world.silences = () => ({ members: 3, silentMs: [LEADER_SILENCE_MS, LEADER_SILENCE_MS + 1] });
    expect(await world.stand()).toEqual({ type: "elect" });
    expect(world.asked).toEqual(["tail", "master-1", "replicas", "tail"]);
  });

  test("one slow colo deposes nobody: the replicas still hear the leader", async () => {
    const world = new World();
    world.silences = () => ({ members: 3, silentMs: [400, 400, 60_000] });
    expect(await world.stand()).toMatchObject({ type: "follow", leader: leader("master-1", 5) });
    expect(world.waited).toEqual([LOOK_INTERVAL_MS]);
  });

  test("heard a moment before it died: looked at until the silence is long enough, and the leader is called each time", async () => {
    const world = new World();
    const lastHeard = world.now - 1_000;
    world.silences = () => ({ members: 3, silentMs: [0, 1, 2].map(() => world.now - lastHeard) });
    expect(await world.stand()).toEqual({ type: "elect" });
    expect(world.now - lastHeard).toBeGreaterThanOrEqual(LEADER_SILENCE_MS);
    expect(world.now - lastHeard).toBeLessThan(LEADER_SILENCE_MS + 1_000);
    expect(world.asked.filter((what) => what === "master-1")).toHaveLength(5);
  });

  test("replicas that have just begun count from there: not one look is enough", async () => {
    const world = new World();
    const begun = world.now;
    world.silences = () => ({ members: 3, silentMs: [0, 0, 0].map(() => world.now - begun) });
    expect(await world.stand()).toEqual({ type: "elect" });
    expect(world.now - begun).toBeGreaterThanOrEqual(LEADER_SILENCE_MS);
  });

  test("a leader that comes back while it is looked for leads on", async () => {
    const world = new World();
    const lastHeard = world.now;
    world.silences = () => ({ members: 3, silentMs: [0, 1, 2].map(() => world.now - lastHeard) });
    world.sign = () => (world.now - lastHeard > 6_000 ? { type: "leads" } : SILENT);
    expect(await world.stand()).toMatchObject({ type: "follow" });
  });

  test("a quorum that was away has heard nobody: a leader that answers has the whole silence to lead again", async () => {
    const world = new World();
    const begun = world.now;
    world.sign = () => (world.now - begun < 8_000 ? { type: "does-not-lead", leader: undefined } : { type: "leads" });
    expect(await world.stand()).toMatchObject({ type: "follow", leader: leader("master-1", 5) });
  });

  test("one that says itself that it does not lead is replaced after as long, although its attempts are heard", async () => {
    const world = new World();
    const begun = world.now;
    world.sign = () => ({ type: "does-not-lead", leader: undefined });
    world.silences = () => ({ members: 3, silentMs: [5, 60_000] });
    expect(await world.stand()).toEqual({ type: "elect" });
    expect(world.now - begun).toBeGreaterThanOrEqual(LEADER_SILENCE_MS);
    expect(world.now - begun).toBeLessThan(LEADER_SILENCE_MS + 1_000);
    // Unless it leads again, or is not there to say so.
    const back = new World();
    back.sign = () => (back.waited.length < 3 ? { type: "does-not-lead", leader: undefined } : { type: "leads" });
    back.silences = world.silences;
    expect(await back.stand()).toMatchObject({ type: "follow" });
    const gone = new World();
    gone.sign = () => (gone.waited.length < 3 ? { type: "does-not-lead", leader: undefined } : SILENT);
    gone.silences = world.silences;
    expect(await gone.stand()).toMatchObject({ type: "follow", reason: expect.stringContaining("heard it 5 ms ago") });
  });

  test("without a quorum of the replicas nobody elects", async () => {
    const world = new World();
    world.silences = () => ({ members: 3, silentMs: [60_000] });
    expect(await world.stand()).toMatchObject({ type: "wait", reason: expect.stringContaining("no quorum") });
    world.tail = () => ({ type: "unavailable", reason: "no quorum: replica-1, replica-2" });
    expect(await world.stand()).toEqual({ type: "wait", reason: "no quorum: replica-1, replica-2" });
  });

  test("heard now and then, each time just before it would be too long: it lives", async () => {
    const world = new World();
    world.silences = () => ({ members: 3, silentMs: [LEADER_SILENCE_MS - 1_000, LEADER_SILENCE_MS - 1_000] });
    expect(await world.stand()).toMatchObject({ type: "follow" });
  });

  test("a quorum's silence is that of the member that is silent least among the most silent ones", () => {
    expect(quorumSilence({ members: 3, silentMs: [1, 9, 5] })).toBe(5);
    expect(quorumSilence({ members: 5, silentMs: [1, 2, 3, 4, 5] })).toBe(3);
    expect(quorumSilence({ members: 4, silentMs: [1, 2, 3, 4] })).toBe(2);
    expect(quorumSilence({ members: 5, silentMs: [9, 9] })).toBeUndefined();
    expect(quorumSilence({ members: 1, silentMs: [7] })).toBe(7);
  });
});

test("[M44] after a pause that grows with the attempts the log is looked at again: whoever came first leads", async () => {
  const world = new World();
  const tails = [tailOf(leader("master-1", 5)), tailOf(leader("master-3", 9))];
  world.tail = () => tails.shift() ?? tailOf(undefined);
  expect(await world.stand()).toMatchObject({ type: "follow", leader: leader("master-3", 9) });
  expect(world.waited).toEqual([250]);
  const again = new World();
  expect(await again.stand(5, { attempt: 3 })).toEqual({ type: "elect" });
  expect(again.waited).toEqual([2_000]);
});
