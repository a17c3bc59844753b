import { utf8Length } from "#base/utf8.ts";
import * as v from "valibot";
import type { Brand } from "#base/brand.ts";

export type AgentId = Brand<string, "AgentId">;
export type FrameworkId = Brand<string, "FrameworkId">;
export type TaskId = Brand<string, "TaskId">;
export type ExecutorId = Brand<string, "ExecutorId">;
export type OfferId = Brand<string, "OfferId">;
export type ContainerId = Brand<string, "ContainerId">;
export type MasterId = Brand<string, "MasterId">;
/** The id of one v1 subscription, returned in `Mesos-Stream-Id`. */
export type StreamId = Brand<string, "StreamId">;
/** One registration of one agent: a fresh random text for each. Orders of any other session are void. */
export type SessionId = Brand<string, "SessionId">;
/** Log position of the leader entry under which an agent is registered. Higher is newer; 0 is before the first. */
export type Epoch = Brand<number, "Epoch">;
/** Made once on a host and kept there; it chooses the gateway and ties an agent id to its host. */
export type HostKey = Brand<string, "HostKey">;
/** 16 random bytes in base64, made by the master for each operation that it gives to an agent: such a one is done once. */
export type OperationUuid = Brand<string, "OperationUuid">;
/** Made once by `mesoflare init`. The same brand as the log's. */
export type ClusterId = Brand<string, "ClusterId">;
export type Principal = Brand<string, "Principal">;

/** Longest id that a client may choose, in UTF-8 bytes. Source: Mesos common/validation.cpp. */
export const ID_BYTES_MAX = 255;

// Control characters, both slashes, and the two names that mean a directory: ids become folder names on a host.
// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f/\\]/;
// Half a letter is no text outside of JavaScript: in a row, or a folder's name, different ids would become one.
const HALF_LETTER = /[\ud800-\udfff]/u;

/** Why a client's id may not be used, or undefined when it may. */
export function idProblem(id: string): string | undefined {
  if (id === "") return "an id may not be empty";
  if (id === "." || id === "..") return `'${id}' may not be an id`;
  if (FORBIDDEN.test(id)) return "an id may not contain '/', '\\' or control characters";
  if (HALF_LETTER.test(id)) return "an id may not contain half of a letter (a lone surrogate)";
  if (id.length > ID_BYTES_MAX || utf8Length(id) > ID_BYTES_MAX) return `an id may have at most ${ID_BYTES_MAX} bytes`;
  return undefined;
}

const branded = <Id extends string>() =>
  v.pipe(
    v.string(),
    v.maxLength(4 * ID_BYTES_MAX),
    v.transform((text) => text as Id),
  );

/** Ids inside our own messages are bare strings. */
export const agentIdText = branded<AgentId>();
export const frameworkIdText = branded<FrameworkId>();
export const taskIdText = branded<TaskId>();
export const sessionIdText = branded<SessionId>();
export const clusterIdText = branded<ClusterId>();
export const hostKeyText = v.pipe(
  v.string(),
  v.regex(/^[0-9a-f]{32}$/, "a host key is 32 lower-case hexadecimal digits"),
  v.transform((text) => text as HostKey),
);
export const operationUuidText = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9+/]{22}==$/, "an operation's uuid is base64 of 16 bytes"),
  v.transform((text) => text as OperationUuid),
);
export const executorIdText = branded<ExecutorId>();
export const epochNumber = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(0),
  v.transform((position) => position as Epoch),
);

/** Ids in Mesos' JSON are objects: `{"value": "…"}`. */
const wrapped = <Id extends string>() => v.object({ value: branded<Id>() });
export const agentIdObject = wrapped<AgentId>();
export const frameworkIdObject = wrapped<FrameworkId>();
export const taskIdObject = wrapped<TaskId>();
export const executorIdObject = wrapped<ExecutorId>();
export const offerIdObject = wrapped<OfferId>();
export const containerIdObject = wrapped<ContainerId>();
