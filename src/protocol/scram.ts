// SCRAM-SHA-256 (RFC 5802, RFC 7677): the messages and both sides' arithmetic. The hash functions are arguments, because
// this folder has no platform; each shell hands in its own (Web Crypto in the plane, node:crypto in the agent).
import { fromBase64, toBase64 } from "#base/base64.ts";

export interface ScramCrypto {
  hmac(key: Uint8Array, data: Uint8Array): Promise<Uint8Array>;
  hash(data: Uint8Array): Promise<Uint8Array>;
  /** PBKDF2 with this crypto's HMAC, one block of output. */
  stretch(secret: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array>;
}

/** What the plane keeps of a secret: enough to check a proof, not enough to make one. */
export interface ScramVerifier {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** RFC 7677's lower bound; our generated secrets are random and long, so that more would only cost time. */
export const ITERATIONS_MIN = 4096;
/** The most that a client computes for a server that may be hostile, and the most that Workers' PBKDF2 takes. */
export const ITERATIONS_MAX = 100_000;
/** base64 of `n,,`: no channel binding, because TLS ends before the Worker. */
const CHANNEL = "biws";
const NONCE = /^[\x21-\x2b\x2d-\x7e]{18,256}$/;

export type ScramRefusal = { readonly type: "refused"; readonly reason: string };
const refused = (reason: string): ScramRefusal => ({ type: "refused", reason });

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 0xff);

/** UTF-8 bytes of a principal or secret. SASLprep is the identity on the ASCII text that we generate and accept. */
function utf8(text: string): Uint8Array {
  return ascii(unescapeUriBytes(text));
}
function unescapeUriBytes(text: string): string {
  return encodeURIComponent(text).replace(/%([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(parseInt(hex, 16)),
  );
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  return a.map((byte, i) => byte ^ (b[i] ?? 0));
}

/** Compares in time that depends on the length only. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] ?? 0) ^ (b[i] ?? 0);
  return difference === 0;
}

export async function makeVerifier(
  crypto: ScramCrypto,
  secret: string,
  { salt, iterations }: { readonly salt: Uint8Array; readonly iterations: number },
): Promise<ScramVerifier> {
  const salted = await crypto.stretch(utf8(secret), salt, iterations);
  const storedKey = await crypto.hash(await crypto.hmac(salted, ascii("Client Key")));
  return { salt, iterations, storedKey, serverKey: await crypto.hmac(salted, ascii("Server Key")) };
}

/** Whether `secret` is the one that `verifier` was made from: for HTTP Basic, which carries the secret itself. */
export async function checkSecret(crypto: ScramCrypto, secret: string, verifier: ScramVerifier): Promise<boolean> {
  return equalBytes((await makeVerifier(crypto, secret, verifier)).storedKey, verifier.storedKey);
}

const escapeName = (name: string): string => name.replaceAll("=", "=3D").replaceAll(",", "=2C");

/** The client's first message. `nonce` is printable ASCII without a comma, made from 18 random bytes or more. */
export function clientFirst(principal: string, nonce: string): string {
  return `n,,${clientFirstBare(principal, nonce)}`;
}
const clientFirstBare = (principal: string, nonce: string): string => `n=${escapeName(principal)},r=${nonce}`;

export interface ClientFirst {
  readonly type: "client-first";
  readonly principal: string;
  readonly nonce: string;
  readonly bare: string;
}

export function parseClientFirst(message: string): ClientFirst | ScramRefusal {
  const match = /^n,,(n=([^,]+),r=([^,]+))$/.exec(message);
  if (match === null) return refused("client-first is 'n,,n=<principal>,r=<nonce>'");
  const [bare, name, nonce] = [match[1] ?? "", match[2] ?? "", match[3] ?? ""];
  if (/=(?!3D|2C)/.test(name)) return refused("'=' in a principal is written '=3D'");
  if (!NONCE.test(nonce)) return refused("a nonce has 18 to 256 printable characters without a comma");
  return { type: "client-first", principal: name.replaceAll("=2C", ",").replaceAll("=3D", "="), nonce, bare };
}

/** What the server must remember between its two messages. Plain data: it lives in a socket's attachment. */
export interface ServerExchange {
  readonly principal: string;
  readonly bare: string;
  readonly nonce: string;
  readonly serverFirst: string;
}

/** The server's first message; `serverNonce` as for the client. An unknown principal gets one too, from a derived salt. */
export function serverFirst(
  { principal, nonce, bare }: ClientFirst,
  {
    salt,
    iterations,
    serverNonce,
  }: { readonly salt: Uint8Array; readonly iterations: number; readonly serverNonce: string },
): ServerExchange {
  const whole = nonce + serverNonce;
  return { principal, bare, nonce: whole, serverFirst: `r=${whole},s=${toBase64(salt)},i=${iterations}` };
}

export type ClientFinal = {
  readonly type: "client-final";
  readonly message: string;
  /** What the server must answer; anything else is a server that does not know the secret. */
  readonly serverFinal: string;
};

/** The client's proof. Refuses a nonce that is not its own, and iteration counts outside the bounds. */
export async function clientFinal(
  crypto: ScramCrypto,
  exchange: {
    readonly principal: string;
    readonly secret: string;
    readonly nonce: string;
    readonly serverFirst: string;
  },
): Promise<ClientFinal | ScramRefusal> {
  const match = /^r=([^,]+),s=([A-Za-z0-9+/]+={0,2}),i=(\d{1,7})$/.exec(exchange.serverFirst);
  if (match === null) return refused("server-first is 'r=<nonce>,s=<salt>,i=<iterations>'");
  const [nonce, saltText, iterations] = [match[1] ?? "", match[2] ?? "", Number(match[3])];
  if (!nonce.startsWith(exchange.nonce) || nonce.length === exchange.nonce.length)
    return refused("the server's nonce does not begin with ours");
  if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX)
    return refused(`iterations must be ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`);
  const salt = fromBase64(saltText);
  if (salt === undefined) return refused("the salt is not base64");
  const salted = await crypto.stretch(utf8(exchange.secret), salt, iterations);
  const withoutProof = `c=${CHANNEL},r=${nonce}`;
  const authMessage = ascii(
    unescapeUriBytes(`${clientFirstBare(exchange.principal, exchange.nonce)},${exchange.serverFirst},${withoutProof}`),
  );
  const clientKey = await crypto.hmac(salted, ascii("Client Key"));
  const signature = await crypto.hmac(await crypto.hash(clientKey), authMessage);
  const serverSignature = await crypto.hmac(await crypto.hmac(salted, ascii("Server Key")), authMessage);
  return {
    type: "client-final",
    message: `${withoutProof},p=${toBase64(xor(clientKey, signature))}`,
    serverFinal: `v=${toBase64(serverSignature)}`,
  };
}

export type ServerVerdict = { readonly type: "authenticated"; readonly serverFinal: string } | ScramRefusal;

/** Checks the client's proof. `verifier` undefined is an unknown principal: refused after the same work. */
export async function checkProof(
  crypto: ScramCrypto,
  exchange: ServerExchange,
  message: string,
  verifier: ScramVerifier | undefined,
): Promise<ServerVerdict> {
  const match = /^(c=([^,]*),r=([^,]+)),p=([A-Za-z0-9+/]+={0,2})$/.exec(message);
  const proof = match === null ? undefined : fromBase64(match[4] ?? "");
  if (match === null || proof === undefined) return refused("client-final is 'c=biws,r=<nonce>,p=<proof>'");
  if (match[2] !== CHANNEL || match[3] !== exchange.nonce) return refused("wrong channel binding or nonce");
  const known = verifier ?? { storedKey: new Uint8Array(32), serverKey: new Uint8Array(32) };
  const authMessage = ascii(unescapeUriBytes(`${exchange.bare},${exchange.serverFirst},${match[1]}`));
  const clientKey = xor(proof, await crypto.hmac(known.storedKey, authMessage));
  const matches = equalBytes(await crypto.hash(clientKey), known.storedKey);
  const serverFinal = `v=${toBase64(await crypto.hmac(known.serverKey, authMessage))}`;
  if (verifier === undefined || !matches) return refused("unknown principal or wrong secret");
  return { type: "authenticated", serverFinal };
}
