// Commands, and what a command is given: environment, secrets, files to fetch.
import * as v from "valibot";
import { bool, bytes, list, optional, optionalName, text } from "./json.ts";

/** Bounds of a task description. A task that breaks one is refused; it never reaches an agent. */
export const COMMAND_BYTES_MAX = 128 * 1024;
export const ENVIRONMENT_VARIABLES_MAX = 1024;
const ARGUMENTS_MAX = 4096;
const URIS_MAX = 256;

export const secretSchema = v.object({
  type: optionalName(["REFERENCE", "VALUE"]),
  reference: optional(v.object({ name: text(1024), key: optional(text(1024)) })),
  value: optional(v.object({ data: bytes(COMMAND_BYTES_MAX) })),
});
/** A value, or the name under which an agent's own resolver has one. */
export type Secret = v.InferOutput<typeof secretSchema>;

export const environmentSchema = v.object({
  variables: list(
    v.object({
      name: text(1024),
      type: optionalName(["VALUE", "SECRET"]),
      value: optional(text(COMMAND_BYTES_MAX)),
      secret: optional(secretSchema),
    }),
    ENVIRONMENT_VARIABLES_MAX,
  ),
});
export type Environment = v.InferOutput<typeof environmentSchema>;

const uriSchema = v.object({
  value: text(4096),
  executable: optional(bool),
  extract: optional(bool),
  cache: optional(bool),
  output_file: optional(text(4096)),
});
/** Something to fetch into the sandbox before the command starts. `extract` defaults to true. */
export type CommandUri = v.InferOutput<typeof uriSchema>;

export const commandSchema = v.object({
  value: optional(text(COMMAND_BYTES_MAX)),
  arguments: list(text(COMMAND_BYTES_MAX), ARGUMENTS_MAX),
  shell: optional(bool),
  user: optional(text(64)),
  environment: optional(environmentSchema),
  uris: list(uriSchema, URIS_MAX),
});
/** `shell` defaults to true: `value` is a shell line. With false, `value` is the program and `arguments` its argv, [0] included. */
export type CommandInfo = v.InferOutput<typeof commandSchema>;
