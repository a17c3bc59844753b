// The Registrar's entries as text in the log. The text is read by later releases too, and by earlier ones during a
// deploy: an entry that this release does not know is reported, never skipped, because everything after it builds on it.
import * as v from "valibot";
import { millis } from "#base/time.ts";
import { agentInfoSchema } from "#protocol/agent.ts";
import { ROLES } from "#protocol/credentials.ts";
import {
  agentIdText,
  frameworkIdText,
  hostKeyText,
  ID_BYTES_MAX,
  type MasterId,
  type Principal,
} from "#protocol/ids.ts";
import { describeIssue } from "#protocol/json.ts";
import type { AuditedOperation } from "./operations.ts";

/** Version of the entry texts. Bump it when an older release would read an entry wrongly. */
export const ENTRY_VERSION = 1;

/** The epoch is the position of the entry itself, hence not in it. */
export interface LeaderEntry {
  readonly type: "leader";
  readonly candidate: string;
  readonly masterId: MasterId;
}
export type RegistrarEntry =
  | LeaderEntry
  | { readonly type: "operations"; readonly operations: readonly AuditedOperation[] };

export type Decoded =
  | { readonly type: "entry"; readonly entry: RegistrarEntry }
  | { readonly type: "unreadable"; readonly reason: string };

const shortText = v.pipe(v.string(), v.maxLength(1024));
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

const operationSchema = v.variant("type", [
  v.object({ type: v.literal("admit-agent"), ...described, strict }),
  v.object({ type: v.literal("readmit-agent"), ...described, strict }),
  v.object({ type: v.literal("update-agent"), agentId: agentIdText, info: agentInfoSchema }),
  v.object({ type: v.literal("remove-agent"), agentId: agentIdText, strict }),
  v.object({ type: v.literal("mark-agent-unreachable"), agentId: agentIdText }),
  v.object({ type: v.literal("mark-agent-reachable"), ...described }),
  v.object({ type: v.literal("mark-agent-gone"), agentId: agentIdText }),
  v.object({ type: v.literal("prune"), unreachable: ids, gone: ids }),
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
    verifier: v.object({
      salt: verifierText,
      iterations: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
      storedKey: verifierText,
      serverKey: verifierText,
    }),
  }),
  v.object({ type: v.literal("revoke-credential"), principal: principalText }),
]);
const entrySchema = v.variant("type", [
  v.object({
    type: v.literal("leader"),
    candidate: name,
    masterId: v.pipe(
      name,
      v.transform((text) => text as MasterId),
    ),
  }),
  v.object({
    type: v.literal("operations"),
    operations: v.array(v.object({ operation: operationSchema, audit: auditSchema })),
  }),
]);
const versioned = v.looseObject({ v: v.pipe(v.number(), v.safeInteger(), v.minValue(1)), type: v.string() });

export function encodeEntry(entry: RegistrarEntry): string {
  return JSON.stringify({ v: ENTRY_VERSION, ...entry });
}

/** One operation as {@link encodeOperations} embeds it; its length is what it adds to an entry. */
export const encodeOperation = (operation: AuditedOperation): string => JSON.stringify(operation);

/** The text of an operations entry from the texts of its operations, so that each is serialised once. */
export const encodeOperations = (operations: readonly string[]): string =>
  `{"v":${ENTRY_VERSION},"type":"operations","operations":[${operations.join(",")}]}`;

/** Letters of an operations entry around its operations. */
export const OPERATIONS_FRAME_LETTERS = encodeOperations([]).length;

export function decodeEntry(text: string): Decoded {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { type: "unreadable", reason: "its text is no JSON" };
  }
  const head = v.safeParse(versioned, json);
  if (!head.success) return { type: "unreadable", reason: describeIssue(head.issues) };
  if (head.output.v > ENTRY_VERSION) {
    const reason = `it is of version ${head.output.v}, this release reads up to ${ENTRY_VERSION}: upgrade`;
    return { type: "unreadable", reason };
  }
  const parsed = v.safeParse(entrySchema, json, { abortEarly: true });
  if (!parsed.success) return { type: "unreadable", reason: describeIssue(parsed.issues) };
  return { type: "entry", entry: parsed.output };
}
