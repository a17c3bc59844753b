// Who may do what, in this release: a principal has one role. The plane holds verifiers, never secrets.
import * as v from "valibot";
import { fromBase64, toBase64 } from "#base/base64.ts";
import type { Principal } from "./ids.ts";
import { ITERATIONS_MAX, ITERATIONS_MIN, type ScramVerifier } from "./scram.ts";

export const ROLES = ["agent", "framework", "operator", "read-only"] as const;
/** agent: may register hosts. framework: the scheduler API. operator: everything on HTTP. read-only: GET endpoints. */
export type CredentialRole = (typeof ROLES)[number];

/** Principals in one plane; the Worker secret that holds them is bounded by the platform at 5 KB. */
export const PRINCIPALS_MAX = 32;

const bytes = (length?: number) =>
  v.pipe(
    v.string(),
    v.transform(fromBase64),
    v.instance(Uint8Array, "not base64"),
    v.check((value) => length === undefined || value.length === length, `must have ${length ?? 0} bytes`),
  );

const principalName = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/, "a principal has 1 to 64 letters, digits, '.', '_', '@', '-'"),
  v.transform((name) => name as Principal),
);

const verifiersSchema = v.object({
  principals: v.pipe(
    v.array(
      v.object({
        principal: principalName,
        role: v.picklist(ROLES),
        salt: bytes(),
        iterations: v.pipe(v.number(), v.integer(), v.minValue(ITERATIONS_MIN), v.maxValue(ITERATIONS_MAX)),
        storedKey: bytes(32),
        serverKey: bytes(32),
      }),
    ),
    v.maxLength(PRINCIPALS_MAX),
  ),
});
/** The content of the plane's `CREDENTIALS` secret. */
export type Verifiers = v.InferOutput<typeof verifiersSchema>;
export type PrincipalVerifier = Verifiers["principals"][number];

/** Parses the `CREDENTIALS` secret; undefined or empty means that nobody is known. */
export function parseVerifiers(text: string | undefined): Verifiers {
  if (text === undefined || text.trim() === "") return { principals: [] };
  return v.parse(verifiersSchema, JSON.parse(text));
}

export function formatVerifiers(
  principals: readonly (ScramVerifier & { readonly principal: string; readonly role: CredentialRole })[],
): string {
  return JSON.stringify({
    principals: principals.map(({ principal, role, salt, iterations, storedKey, serverKey }) => ({
      principal,
      role,
      salt: toBase64(salt),
      iterations,
      storedKey: toBase64(storedKey),
      serverKey: toBase64(serverKey),
    })),
  });
}

/** An agent's credential file, in Mesos' JSON form. */
export const credentialSchema = v.object({
  principal: principalName,
  secret: v.pipe(v.string(), v.minLength(8), v.maxLength(1024)),
});
export type Credential = v.InferOutput<typeof credentialSchema>;

/** The command line's context file: where the plane is and who asks. */
export const contextSchema = v.object({
  plane: v.pipe(v.string(), v.url(), v.regex(/^https?:\/\//, "a plane is an http or https URL")),
  ...credentialSchema.entries,
});
export type Context = v.InferOutput<typeof contextSchema>;
