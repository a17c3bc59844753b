// Makes credentials: a random secret for the one who proves it, and a verifier for the plane, which never sees it stored.
import { randomBytes } from "node:crypto";
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { CredentialRole, PrincipalVerifier } from "#protocol/credentials.ts";
import { ITERATIONS_MIN, makeVerifier } from "#protocol/scram.ts";
import type { Principal } from "#protocol/ids.ts";
import { nodeScramCrypto } from "./scram-crypto.ts";

const SECRET_BYTES = 32;
const SALT_BYTES = 16;
const OWNER_ONLY = 0o600;
const OWNER_ONLY_DIRECTORY = 0o700;

export interface NewCredential {
  readonly principal: Principal;
  readonly secret: string;
  readonly verifier: PrincipalVerifier;
}

/** The least iterations that SCRAM allows: 256 random bits cannot be guessed, however fast a guess is. */
export async function makeCredential(principal: Principal, role: CredentialRole): Promise<NewCredential> {
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  const salt = new Uint8Array(randomBytes(SALT_BYTES));
  const verifier = await makeVerifier(nodeScramCrypto, secret, { salt, iterations: ITERATIONS_MIN });
  return { principal, secret, verifier: { ...verifier, principal, role, salt: verifier.salt } as PrincipalVerifier };
}

/** Adds a verifier, or replaces the one of the same principal in its place. */
export function withVerifier(
  all: readonly PrincipalVerifier[],
  added: PrincipalVerifier,
): readonly PrincipalVerifier[] {
  const known = all.some(({ principal }) => principal === added.principal);
  return known ? all.map((one) => (one.principal === added.principal ? added : one)) : [...all, added];
}

/** Writes a file that only its owner reads, whole or not at all; makes the folder it is in, if need be. */
export async function writePrivate(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: OWNER_ONLY_DIRECTORY });
  const temporary = `${path}.${randomBytes(4).toString("hex")}.tmp`;
  await writeFile(temporary, content, { mode: OWNER_ONLY, flag: "wx" });
  await chmod(temporary, OWNER_ONLY);
  await rename(temporary, path);
}

export const toJsonFile = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
