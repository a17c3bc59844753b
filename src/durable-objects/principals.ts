// The principals of this plane, parsed once per isolate, and what Web Crypto adds to check them.
import { parseVerifiers, type PrincipalVerifier, type Verifiers } from "#protocol/credentials.ts";
import { checkSecret, ITERATIONS_MIN, type ScramCrypto } from "#protocol/scram.ts";
import { toBase64 } from "#base/base64.ts";
import type { Challenge } from "../agent/session.ts";

interface Credentials {
  readonly CREDENTIALS?: string;
}

export const webScram: ScramCrypto = {
  async hmac(key, data) {
    const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
  },
  async hash(data) {
    return new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  },
  async stretch(secret, salt, iterations) {
    const imported = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveBits"]);
    return new Uint8Array(
      await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, imported, 256),
    );
  },
};

let parsed: { readonly text: string | undefined; readonly verifiers: Verifiers } | undefined;

/** Throws when the secret is malformed: a deployment to be mended, not a caller's mistake. */
export function principalsOf(env: Credentials): Verifiers {
  if (parsed === undefined || parsed.text !== env.CREDENTIALS) {
    parsed = { text: env.CREDENTIALS, verifiers: parseVerifiers(env.CREDENTIALS) };
  }
  return parsed.verifiers;
}

/** A challenge for a principal; an unknown one gets a salt that is the same each time, so that it looks like a known one. */
export async function challengeFor(env: Credentials, principal: string): Promise<Challenge | undefined> {
  const { principals } = principalsOf(env);
  const [first] = principals;
  if (first === undefined) return undefined;
  const known = principals.find((verifier) => verifier.principal === principal);
  const serverNonce = toBase64(crypto.getRandomValues(new Uint8Array(18)));
  if (known !== undefined) return { salt: known.salt, iterations: known.iterations, serverNonce };
  const derived = await webScram.hmac(first.serverKey, new TextEncoder().encode(principal));
  return { salt: derived.slice(0, 16), iterations: ITERATIONS_MIN, serverNonce };
}

/** Secrets that were checked in this isolate, by principal: no key stretching on the path of each call. */
const checked = new Map<string, { readonly verifier: PrincipalVerifier; readonly digest: string }>();

/** The principal, when `secret` is its own. */
export async function authenticate(
  env: Credentials,
  principal: string,
  secret: string,
): Promise<PrincipalVerifier | undefined> {
  const { principals } = principalsOf(env);
  const verifier = principals.find((known) => known.principal === principal);
  const [first] = principals;
  if (verifier === undefined) {
    // The same work as for a known principal, so that the time tells nobody which names exist.
    if (first !== undefined) await checkSecret(webScram, secret, first);
    return undefined;
  }
  const digest = toBase64(await webScram.hash(new TextEncoder().encode(secret)));
  const earlier = checked.get(principal);
  if (earlier?.verifier === verifier && earlier.digest === digest) return verifier;
  if (!(await checkSecret(webScram, secret, verifier))) return undefined;
  checked.set(principal, { verifier, digest });
  return verifier;
}
