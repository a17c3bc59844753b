// The Registrar's entries as text in the log. The text is read by later releases too, and by earlier ones during a
// deploy: an entry that this release does not know is reported, never skipped, because everything after it builds on it.
//
// Every entry begins with a head: who led when it was written, and where the newest complete snapshot begins. The last entry of
// the log is thus enough to know whom to ask and where to begin to read.
import * as v from "valibot";
import { assert, unreachable } from "#base/assert.ts";
import { millis } from "#base/time.ts";
import { type Position, position } from "#log/entry.ts";
import { agentInfoSchema } from "#protocol/agent.ts";
import { ROLES } from "#protocol/credentials.ts";
import {
  agentIdText,
  type Epoch,
  frameworkIdText,
  hostKeyText,
  ID_BYTES_MAX,
  type MasterId,
  type Principal,
} from "#protocol/ids.ts";
import { describeIssue } from "#protocol/json.ts";
import type { AuditedOperation, RegistryOperation } from "./operations.ts";
import {
  type Leader,
  QUANTITIES_MAX,
  QUANTITY_MAX,
  QUOTAS_MAX,
  type RegistryTables,
  type Table,
  VERIFIERS_MAX,
  WEIGHT_MAX,
  WEIGHT_MIN,
  WEIGHTS_MAX,
} from "./registry.ts";

/**
 * Highest version of the entry texts that this release reads and writes. Add one when an older release would read an entry wrongly. 1 was
 * that of release 0.1.0: without heads. 3 has frameworks' principals, weights and quotas.
 */
export const ENTRY_VERSION = 3;
/** [R32] Version of an entry without anything that came later: releases that know no later one apply it as well. */
const ENTRY_VERSION_MIN = 2;
const OPERATIONS_SINCE: Partial<Record<RegistryOperation["type"], number>> = {
  "register-framework": 3,
  "update-weights": 3,
  "update-quota": 3,
};
const TABLES_SINCE: Partial<Record<keyof RegistryTables, number>> = {
  registeredFrameworks: 3,
  weights: 3,
  quotas: 3,
};

/** Most stretches that a snapshot lists; of more, the oldest two become one. */
export const STRETCHES_MAX = 100;

/** What an entry says beside its content. */
export interface Head {
  /** Who led when it was written; of a leader entry, who leads from there on. */
  readonly leader: Leader | undefined;
  /** Where the newest complete snapshot begins. */
  readonly snapshot: Position | undefined;
}

/** Begins an epoch, which is the position of the entry itself, hence not in it. */
export interface LeaderEntry {
  readonly type: "leader";
  readonly candidate: string;
  readonly masterId: MasterId;
  readonly snapshot?: Position | undefined;
}
export interface OperationsEntry {
  readonly type: "operations";
  /** Absent in release 0.1.0 only. */
  readonly leader?: Leader | undefined;
  readonly snapshot?: Position | undefined;
  readonly operations: readonly AuditedOperation[];
}
/** The records of each table, in their order; a table without any is left out. */
export type TableRecords = { readonly [Name in keyof RegistryTables]?: readonly RecordOf<Name>[] };
export type RecordOf<Name extends keyof RegistryTables> =
  RegistryTables[Name] extends Table<infer _Key, infer Value> ? Value : never;

/** How much was written between the begins of two snapshots. The first stretch may begin where the log begins. */
export interface Stretch {
  readonly begin: Position;
  readonly letters: number;
}
/**
 * A part of the registry as it was just before the first chunk. The chunks of one snapshot are numbered from 0 and name the position of
 * the first; other entries may stand between them, which are not part of it.
 */
export interface SnapshotEntry {
  readonly type: "snapshot";
  readonly leader?: Leader | undefined;
  /** The newest complete snapshot, hence one before this. */
  readonly snapshot?: Position | undefined;
  /** Where this snapshot begins, absent in its first chunk, which stands there itself. */
  readonly begin?: Position | undefined;
  readonly chunk: number;
  readonly last: boolean;
  /** In the first chunk: the stretches before it that are still kept, oldest first. */
  readonly stretches?: readonly Stretch[] | undefined;
  /** In the first chunk: how many records the whole snapshot has. */
  readonly records?: number | undefined;
  readonly tables: TableRecords;
}
export type RegistrarEntry = LeaderEntry | OperationsEntry | SnapshotEntry;

export interface Unreadable {
  readonly type: "unreadable";
  readonly reason: string;
}
export type Decoded = { readonly type: "entry"; readonly entry: RegistrarEntry } | Unreadable;

const SHORT_LETTERS_MAX = 1_024;
const shortText = v.pipe(v.string(), v.maxLength(SHORT_LETTERS_MAX));
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(ID_BYTES_MAX));

const auditSchema = v.object({
  who: shortText,
  when: v.pipe(v.number(), v.transform(millis)),
  why: shortText,
});
const time = v.pipe(v.number(), v.transform(millis));
const principalText = v.pipe(
  shortText,
  v.transform((text) => text as Principal),
);
const described = { agentId: agentIdText, info: agentInfoSchema, hostKey: hostKeyText, principal: principalText };
/** Absent in entries of 0.1.0, which knew strict mode only. */
const strict = v.optional(v.boolean(), true);
/** Most ids in one prune: what one entry holds with room to spare. */
export const PRUNE_IDS_MAX = 2_000;
const ids = v.pipe(v.array(agentIdText), v.maxLength(PRUNE_IDS_MAX));
const verifierText = v.pipe(v.string(), v.maxLength(256));

const verifierSchema = v.object({
  salt: verifierText,
  iterations: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  storedKey: verifierText,
  serverKey: verifierText,
});

const positive = v.pipe(v.number(), v.finite(), v.minValue(0));
const registered = { frameworkId: frameworkIdText, principal: principalText, failoverTimeoutMs: positive };
const weightSchema = v.object({
  role: name,
  weight: v.pipe(v.number(), v.minValue(WEIGHT_MIN), v.maxValue(WEIGHT_MAX)),
});
const quantities = v.pipe(
  v.array(v.object({ name, value: v.pipe(positive, v.maxValue(QUANTITY_MAX)) })),
  v.maxLength(QUANTITIES_MAX),
);
const quotaSchema = v.object({ role: name, guarantees: quantities, limits: quantities });
/** Nobody could say which of two is meant. */
const oneEach = (list: readonly { readonly role: string }[]): boolean =>
  new Set(list.map(({ role }) => role)).size === list.length;
const weights = v.pipe(
  v.array(weightSchema),
  v.maxLength(WEIGHTS_MAX),
  v.check((list) => oneEach(list), "a role is named twice"),
);
const quotas = v.pipe(
  v.array(quotaSchema),
  v.maxLength(QUOTAS_MAX),
  v.check((list) => oneEach(list), "a role is named twice"),
);

const operationSchema = v.variant("type", [
  v.object({ type: v.literal("admit-agent"), ...described, strict }),
  v.object({ type: v.literal("readmit-agent"), ...described, strict }),
  v.object({ type: v.literal("update-agent"), agentId: agentIdText, info: agentInfoSchema }),
  v.object({ type: v.literal("remove-agent"), agentId: agentIdText, strict }),
  v.object({ type: v.literal("mark-agent-unreachable"), agentId: agentIdText }),
  v.object({ type: v.literal("mark-agent-reachable"), ...described }),
  v.object({ type: v.literal("mark-agent-gone"), agentId: agentIdText }),
  v.object({ type: v.literal("prune"), unreachable: ids, gone: ids }),
  v.object({ type: v.literal("register-framework"), ...registered }),
  v.object({
    type: v.literal("disconnect-framework"),
    frameworkId: frameworkIdText,
    principal: v.optional(principalText),
    deadline: time,
  }),
  v.object({ type: v.literal("reconnect-framework"), frameworkId: frameworkIdText }),
  v.object({ type: v.literal("remove-framework"), frameworkId: frameworkIdText }),
  v.object({
    type: v.literal("set-credential"),
    principal: principalText,
    role: v.picklist(ROLES),
    verifier: verifierSchema,
  }),
  v.object({ type: v.literal("revoke-credential"), principal: principalText }),
  v.object({ type: v.literal("update-weights"), infos: weights }),
  v.object({ type: v.literal("update-quota"), configs: quotas }),
]);
const auditedSchema = v.object({ operation: operationSchema, audit: auditSchema });
const masterIdText = v.pipe(
  name,
  v.transform((text) => text as MasterId),
);
const positionNumber = v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.transform(position));
const leaderSchema = v.object({
  candidate: name,
  masterId: masterIdText,
  epoch: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(1),
    v.transform((value) => value as Epoch),
  ),
});
const head = { leader: v.optional(leaderSchema), snapshot: v.optional(positionNumber) };
const versioned = v.looseObject({
  v: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  type: v.string(),
  ...head,
});

const stretch = v.object({ begin: positionNumber, letters: v.pipe(v.number(), v.minValue(0)) });
const tablesSchema = v.object({
  admitted: v.optional(v.array(v.object({ ...described, admittedAt: time }))),
  unreachable: v.optional(
    v.array(
      v.object({
        agentId: agentIdText,
        hostname: shortText,
        hostKey: hostKeyText,
        principal: principalText,
        admittedAt: time,
        at: time,
      }),
    ),
  ),
  gone: v.optional(v.array(v.object({ agentId: agentIdText, hostname: shortText, at: time }))),
  registeredFrameworks: v.optional(v.array(v.object({ state: v.literal("registered"), ...registered }))),
  disconnectedFrameworks: v.optional(
    v.array(
      v.object({
        state: v.literal("disconnected"),
        frameworkId: frameworkIdText,
        principal: v.optional(principalText),
        deadline: time,
      }),
    ),
  ),
  removedFrameworks: v.optional(
    v.array(v.object({ state: v.literal("removed"), frameworkId: frameworkIdText, at: time })),
  ),
  credentials: v.optional(
    v.array(
      v.object({
        principal: principalText,
        role: v.picklist(ROLES),
        verifiers: v.pipe(v.array(verifierSchema), v.minLength(1), v.maxLength(VERIFIERS_MAX)),
      }),
    ),
  ),
  weights: v.optional(v.array(weightSchema)),
  quotas: v.optional(v.array(quotaSchema)),
});
const chunkHead = {
  type: v.literal("snapshot"),
  ...head,
  begin: v.optional(positionNumber),
  chunk: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  last: v.boolean(),
  stretches: v.optional(v.pipe(v.array(stretch), v.maxLength(STRETCHES_MAX))),
  records: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0))),
};

const entrySchema = v.variant("type", [
  v.object({ type: v.literal("leader"), candidate: name, masterId: masterIdText, snapshot: head.snapshot }),
  v.object({
    type: v.literal("operations"),
    ...head,
    operations: v.array(auditedSchema),
  }),
  v.object({ ...chunkHead, tables: tablesSchema }),
]);
const leaderEntrySchema = entrySchema.options[0];
const chunkHeadSchema = v.object(chunkHead);

/**
 * Letters that an entry has left for its frame: the head (two names, each letter of which may be escaped, and numbers), and around the
 * records of a snapshot its stretches, and what a record may be longer than the operation that made it: by its principal.
 */
export const FRAME_LETTERS_MAX = 16_384;
assert(
  2 * 6 * ID_BYTES_MAX + 512 + 60 * STRETCHES_MAX + 6 * SHORT_LETTERS_MAX < FRAME_LETTERS_MAX,
  "what stands around operations and records fits the frame of an entry",
);

export function encodeEntry(entry: RegistrarEntry): string {
  switch (entry.type) {
    case "operations":
      return encodeOperations(entry.operations.map(encodeOperation), entry, versionOf(entry.operations));
    case "leader": {
      const { type, snapshot, candidate, masterId } = entry;
      return JSON.stringify({ v: ENTRY_VERSION_MIN, type, snapshot, candidate, masterId });
    }
    case "snapshot":
      return JSON.stringify({ v: versionOfTables(Object.keys(entry.tables) as (keyof RegistryTables)[]), ...entry });
    default:
      return unreachable(entry);
  }
}

/** One operation as {@link encodeOperations} embeds it; its length is what it adds to an entry. */
export const encodeOperation = (operation: AuditedOperation): string => JSON.stringify(operation);

/** The version that an entry of these operations has, or of records of these tables: the lowest that reads them rightly. */
export const versionOf = (operations: readonly AuditedOperation[]): number =>
  Math.max(ENTRY_VERSION_MIN, ...operations.map(({ operation }) => OPERATIONS_SINCE[operation.type] ?? 0));
export const versionOfTables = (tables: readonly (keyof RegistryTables)[]): number =>
  Math.max(ENTRY_VERSION_MIN, ...tables.map((table) => TABLES_SINCE[table] ?? 0));

/** The text of an operations entry from the texts of its operations, so that each is serialised once. */
export function encodeOperations(
  operations: readonly string[],
  { leader, snapshot }: Partial<Head>,
  version: number,
): string {
  const around = JSON.stringify({ v: version, type: "operations", leader, snapshot });
  return `${around.slice(0, -1)},"operations":[${operations.join(",")}]}`;
}

type Json = { readonly type: "json"; readonly json: v.InferOutput<typeof versioned> } | Unreadable;

/** `records: "skip"`: of a snapshot only how it is numbered, for a reader that has applied what is in it. */
export function decodeEntry(text: string, { records = "read" }: { readonly records?: "read" | "skip" } = {}): Decoded {
  const parsed = parse(text);
  if (parsed.type === "unreadable") return parsed;
  const { json } = parsed;
  if (json.v > ENTRY_VERSION) {
    return unreadable(`it is of version ${json.v}, this release reads up to ${ENTRY_VERSION}: upgrade`);
  }
  if (json.v > 1 && json.type !== "leader" && json.leader === undefined) return unreadable(NO_LEADER);
  if (json.type === "snapshot" && records === "skip") {
    const chunk = v.safeParse(chunkHeadSchema, json, { abortEarly: true });
    if (!chunk.success) return unreadable(describeIssue(chunk.issues));
    return { type: "entry", entry: { ...chunk.output, tables: {} } };
  }
  const entry = v.safeParse(entrySchema, json, { abortEarly: true });
  return entry.success ? { type: "entry", entry: entry.output } : unreadable(describeIssue(entry.issues));
}

/** An operation as it will be read back from its text, or undefined when it will not. */
export function decodeOperation(text: string): AuditedOperation | undefined {
  const parsed = v.safeParse(auditedSchema, JSON.parse(text), { abortEarly: true });
  return parsed.success ? parsed.output : undefined;
}

/**
 * The head of the entry at `at`, undefined for one of release 0.1.0 that has none. Heads keep their form: that of an entry of a newer
 * release can be read, its content cannot.
 */
export function decodeHead(at: Position, text: string): { readonly type: "head"; readonly head?: Head } | Unreadable {
  const parsed = parse(text);
  if (parsed.type === "unreadable") return parsed;
  const { type, v: version, leader, snapshot } = parsed.json;
  if (type === "snapshot") {
    const chunk = v.safeParse(chunkHeadSchema, parsed.json, { abortEarly: true });
    // Its last chunk is chosen after all the others: with it the snapshot is complete.
    if (chunk.success && chunk.output.last) {
      return { type: "head", head: { leader, snapshot: chunk.output.begin ?? at } };
    }
  }
  if (type === "leader") {
    const entry = v.safeParse(leaderEntrySchema, parsed.json, { abortEarly: true });
    if (!entry.success) return unreadable(describeIssue(entry.issues));
    const { candidate, masterId } = entry.output;
    return { type: "head", head: { leader: { candidate, masterId, epoch: at as number as Epoch }, snapshot } };
  }
  if (leader !== undefined) return { type: "head", head: { leader, snapshot } };
  return version === 1 ? { type: "head" } : unreadable(NO_LEADER);
}

const NO_LEADER = "it does not say who led when it was written";
const unreadable = (reason: string): Unreadable => ({ type: "unreadable", reason });

function parse(text: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return unreadable("its text is no JSON");
  }
  const parsed = v.safeParse(versioned, json, { abortEarly: true });
  return parsed.success ? { type: "json", json: parsed.output } : unreadable(describeIssue(parsed.issues));
}
