// `bench -- log`: appends to the log beside a three-member etcd, in the same run and on the same disk; recovery of a replica that
// lost everything; and, in the core alone, an election behind a long truncated log and commits over long distances.
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { catchUpSeconds } from "./log/catch-up.ts";
import { commitOverDistance, electMs } from "./log/core.ts";
import { flushesPerSecond } from "./log/disk.ts";
import { Etcd } from "./log/etcd.ts";
import { load, type Load, median } from "./log/load.ts";
import { WriterClient } from "./log/writer-client.ts";
import { rounded, type Figure, type Report } from "./report.ts";

const CONCURRENT = [1, 8, 64, 512] as const;
/** What we want of each, as a multiple of etcd's. */
const RATIO_AIMS: Readonly<Record<number, number>> = { 1: 1, 8: 1, 64: 2, 512: 2.5 };
const RUNS = 5;
const LOAD_MS = 2_000;
const LETTERS = 256;
const IN_PLANE_APPENDS = 60_000;
const DISTANCES_MS = [0, 20, 70, 150] as const;

export async function log(): Promise<Report> {
  try {
    execFileSync("etcd", ["--version"], { stdio: "ignore" });
  } catch {
    throw new Error("the peer of this benchmark is missing: install the Debian package etcd-server");
  }
  const directory = await mkdtemp(join(tmpdir(), "mesoflare-bench-"));
  try {
    return await measure(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

interface Pair {
  readonly ours: Load[];
  readonly etcd: Load[];
}

async function measure(directory: string): Promise<Report> {
  const flushes = [flushesPerSecond(directory)];
  const pairs = new Map<number, Pair>(CONCURRENT.map((concurrent) => [concurrent, { ours: [], etcd: [] }]));
  const inPlane: number[] = [];
  const etcd = await Etcd.start(directory);
  let keys = 0;
  try {
    const writer = await WriterClient.start(directory);
    const append = (value: string) => writer.append(value);
    const put = (value: string) => etcd.put(`key-${(keys += 1)}`, value);
    for (const one of [append, put]) await load(one, { concurrent: 64, ms: LOAD_MS / 2, letters: LETTERS }); // warm
    for (let run = 0; run < RUNS; run++) {
      for (const [concurrent, { ours, etcd: theirs }] of pairs) {
        ours.push(await load(append, { concurrent, ms: LOAD_MS, letters: LETTERS }));
        theirs.push(await load(put, { concurrent, ms: LOAD_MS, letters: LETTERS }));
      }
      const query = `count=${IN_PLANE_APPENDS}&concurrent=512&letters=${LETTERS}`;
      const { ms } = await writer.get<{ readonly ms: number }>(`/inside?${query}`);
      inPlane.push((IN_PLANE_APPENDS * 1000) / ms);
      flushes.push(flushesPerSecond(directory));
      process.stderr.write(`run ${run + 1} of ${RUNS}\n`);
    }
    await writer.stop();
  } finally {
    await etcd.stop();
  }
  const perSecond = median(flushes);
  const figures: Figure[] = [{ name: "disk_flushes_per_s", value: rounded(perSecond), unit: "1/s" }];
  for (const [concurrent, pair] of pairs) figures.push(...figuresOf(concurrent, pair, perSecond));
  const distances = DISTANCES_MS.map((rttMs) => ({ rttMs, ...commitOverDistance(rttMs) }));
  figures.push(
    { name: "in_plane_appends_per_s_c512", value: rounded(median(inPlane)), unit: "1/s", aim: 20_000 },
    { name: "catch_up_100k_s", value: rounded(await catchUpSeconds(directory, LETTERS)), unit: "s", aim: 10 },
    { name: "elect_ms", value: rounded(electMs()), unit: "ms", aim: 100 },
    ...distances.flatMap(({ rttMs, roundTrips, perSecond: rate }): readonly Figure[] => [
      ...(rttMs === 0
        ? []
        : [{ name: `commit_round_trips_${rttMs}ms`, value: rounded(roundTrips), unit: "round trips", aim: 1 }]),
      { name: `simulated_appends_per_s_${rttMs}ms`, value: rounded(rate), unit: "1/s of simulated time", aim: 1_000 },
    ]),
  );
  return {
    bench: "log",
    method:
      `appends of ${LETTERS} bytes by one outside process: to three ReplicaDOs in one workerd over one WebSocket, one message each, and to the ` +
      `leader of three etcd members by gRPC over one connection; medians of ${RUNS} interleaved runs of ${LOAD_MS} ms for each concurrency; ` +
      "flushes as the kernel counts them on all disks; share: flushes for appends, of what the disk does one after the other (etcd's members flush " +
      "at the same time); in_plane: appends by the writing object itself; catch_up: from the start of a plane whose second replica lost its storage until it votes " +
      "and has 100,000 entries; elect: three replicas in memory with 1,000,000 positions truncated; simulated: the real cores on virtual time, replicas at that round trip, 512 in flight",
    figures,
  };
}

function figuresOf(concurrent: number, { ours, etcd }: Pair, diskFlushesPerSecond: number): readonly Figure[] {
  const of = (loads: readonly Load[], value: (one: Load) => number) => rounded(median(loads.map(value)));
  const peer = (value: (one: Load) => number) => ({ name: "etcd", value: of(etcd, value) });
  const perSecond = (one: Load) => one.perSecond;
  const flushes = (one: Load) => one.flushesPerAppend ?? Number.NaN;
  const share = (one: Load) => (perSecond(one) * flushes(one)) / diskFlushesPerSecond;
  const suffix = `c${concurrent}`;
  const ratio = median(ours.map((one, run) => one.perSecond / (etcd[run]?.perSecond ?? Number.NaN)));
  const isCounted = ours.every(({ flushesPerAppend }) => flushesPerAppend !== undefined);
  return [
    { name: `appends_per_s_${suffix}`, value: of(ours, perSecond), unit: "1/s", peer: peer(perSecond) },
    { name: `ratio_etcd_${suffix}`, value: rounded(ratio), unit: "times", aim: RATIO_AIMS[concurrent] },
    { name: `p50_ms_${suffix}`, value: of(ours, (one) => one.p50Ms), unit: "ms", peer: peer((one) => one.p50Ms) },
    { name: `p99_ms_${suffix}`, value: of(ours, (one) => one.p99Ms), unit: "ms", peer: peer((one) => one.p99Ms) },
    ...(isCounted
      ? [
          { name: `flushes_per_append_${suffix}`, value: of(ours, flushes), unit: "", peer: peer(flushes) },
          { name: `flushes_share_${suffix}`, value: of(ours, share), unit: "of the disk's", peer: peer(share) },
        ]
      : []),
  ];
}
