// kill -9 of workerd at random moments while values are appended to three ReplicaDOs: what was acknowledged is there, at its
// position, and what was refused is not. `npm run soak:kill` does it many more times.
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { seededRandom } from "#base/random.ts";
import { onEnd, temporaryDirectory } from "./harness/workspace.ts";
import { WriterPlane } from "./harness/writer-plane.ts";

const CYCLES = Number(process.env["LOG_CRASH_CYCLES"] ?? "20");
const CYCLE_MS_MAX = 15_000;
/** Appends in flight at once. */
const CONCURRENT = 64;

/** What the plane said of each value. */
interface Answers {
  readonly acknowledged: Map<string, number>;
  readonly refused: Set<string>;
}

test(
  `${CYCLES} times killed: every acknowledged append is there, and nothing that was refused`,
  { timeout: CYCLES * CYCLE_MS_MAX },
  async () => {
    const seed = Number(process.env["LOG_CRASH_SEED"] ?? Date.now() % 1_000_000);
    const random = seededRandom(seed);
    const directory = await temporaryDirectory();
    const answers: Answers = { acknowledged: new Map(), refused: new Set() };
    let running: WriterPlane | undefined;
    onEnd(async () => running?.kill());
    for (let cycle = 1; cycle <= CYCLES; cycle++) {
      const plane = await WriterPlane.start(directory);
      running = plane;
      if (cycle === 1) await plane.get("/init");
      const socket = await plane.connect();
      const appending = appendUntilClosed(socket, cycle, answers);
      await plane.get("/elect");
      appending.begin();
      await sleep(20 + random.next() * 380);
      await plane.kill();
      await appending.ended;
    }
    const plane = await WriterPlane.start(directory);
    running = plane;
    await plane.get("/elect"); // decides what was left undecided
    const log = await plane.readAll();
    const values = new Map(
      log.flatMap(({ position, entry }) => (entry.data === undefined ? [] : [[position, entry.data]])),
    );
    const wrong = [...answers.acknowledged].filter(([value, position]) => values.get(position) !== value);
    expect(wrong, `seed ${seed}`).toEqual([]);
    const present = new Set(values.values());
    expect(
      [...answers.refused].filter((value) => present.has(value)),
      `seed ${seed}`,
    ).toEqual([]);
    expect(present.size, "no value is there twice").toBe(values.size);
    expect(answers.acknowledged.size).toBeGreaterThan(CYCLES * 10);
    expect(answers.refused.size).toBe(CYCLES);
    await plane.kill();
  },
);

/** Appends one value before anybody leads, which is refused; then keeps CONCURRENT in flight until the plane dies. */
function appendUntilClosed(
  socket: WebSocket,
  cycle: number,
  { acknowledged, refused }: Answers,
): { readonly begin: () => void; readonly ended: Promise<void> } {
  const open = new Map<string, string>();
  let count = 0;
  const append = (): void => {
    const id = String(++count);
    const value = `cycle ${cycle} value ${id}`;
    open.set(id, value);
    if (socket.readyState === WebSocket.OPEN) socket.send(`${id} ${value}`);
  };
  socket.addEventListener("message", ({ data }) => {
    for (const line of String(data).split("\n")) {
      const [id = "", position = ""] = line.split(" ", 2);
      const value = open.get(id);
      if (value === undefined) throw new Error(`an answer to nothing: ${line}`);
      open.delete(id);
      if (/^\d+$/.test(position)) acknowledged.set(value, Number(position));
      else if (line.endsWith("does not lead")) refused.add(value);
      if (count > 1) append();
    }
  });
  socket.addEventListener("error", () => undefined);
  const ended = new Promise<void>((resolve) => socket.addEventListener("close", () => resolve()));
  append();
  return {
    begin: () => {
      for (let i = 0; i < CONCURRENT; i++) append();
    },
    ended,
  };
}
