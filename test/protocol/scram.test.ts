// The published vectors through our own message code, and what hostile peers may send.
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "#base/base64.ts";
import {
  checkProof,
  checkSecret,
  clientFinal,
  clientFirst,
  ITERATIONS_MAX,
  makeVerifier,
  parseClientFirst,
  serverFirst,
} from "#protocol/scram.ts";
import { nodeScramCrypto } from "../../agent-node/connection/node-crypto.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

interface Vector {
  readonly name: string;
  readonly hash: "sha256" | "sha1";
  readonly clientNonce: string;
  readonly serverNonce: string;
  readonly salt: string;
  readonly proof: string;
  readonly serverFinal: string;
  readonly salted: string;
  readonly storedKey: string;
  readonly serverKey: string;
}

const VECTORS: readonly Vector[] = [
  {
    name: "RFC 7677, SHA-256",
    hash: "sha256",
    clientNonce: "rOprNGfwEbeRWgbNEkqO",
    serverNonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
    proof: "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    salted: "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d",
    storedKey: "586e5df283e6dceb5c3e791d8b8528ec191e664045ce971792e2e6b5bb13e2a6",
    serverKey: "c1f3cbc1c13a9d35a14c0990eed97629ea225863e566a4314ab99f3f00e5d9d5",
  },
  {
    name: "RFC 5802, SHA-1",
    hash: "sha1",
    clientNonce: "fyko+d2lbbFgONRv9qkxdawL",
    serverNonce: "3rfcNHYJY1ZVvWVs7j",
    salt: "QSXCR+Q6sek8bf92",
    proof: "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    serverFinal: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    salted: "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d",
    storedKey: "e9d94660c39d65c38fbad91c358f14da0eef2bd6",
    serverKey: "0fe09258b3ac852ba502cc62ba903eaacdbf7d31",
  },
];

const bytes = (base64: string): Uint8Array => {
  const decoded = fromBase64(base64);
  if (decoded === undefined) throw new Error("not base64");
  return decoded;
};

describe.each(VECTORS)("$name", (vector) => {
  const crypto = nodeScramCrypto(vector.hash);
  const salt = bytes(vector.salt);

  test("the keys are those of the RFC", async () => {
    expect(hex(await crypto.stretch(Buffer.from("pencil"), salt, 4096))).toBe(vector.salted);
    const verifier = await makeVerifier(crypto, "pencil", { salt, iterations: 4096 });
    expect([hex(verifier.storedKey), hex(verifier.serverKey)]).toEqual([vector.storedKey, vector.serverKey]);
    expect(await checkSecret(crypto, "pencil", verifier)).toBe(true);
    expect(await checkSecret(crypto, "pen", verifier)).toBe(false);
  });

  test("the messages are those of the RFC, on both sides", async () => {
    const first = clientFirst("user", vector.clientNonce);
    expect(first).toBe(`n,,n=user,r=${vector.clientNonce}`);
    const parsed = parseClientFirst(first);
    if (parsed.type === "refused") throw new Error(parsed.reason);
    const exchange = serverFirst(parsed, { salt, iterations: 4096, serverNonce: vector.serverNonce });
    const nonce = vector.clientNonce + vector.serverNonce;
    expect(exchange.serverFirst).toBe(`r=${nonce},s=${vector.salt},i=4096`);
    const final = await clientFinal(crypto, {
      principal: "user",
      secret: "pencil",
      nonce: vector.clientNonce,
      serverFirst: exchange.serverFirst,
    });
    expect(final).toEqual({
      type: "client-final",
      message: `c=biws,r=${nonce},p=${vector.proof}`,
      serverFinal: vector.serverFinal,
    });
    const verifier = await makeVerifier(crypto, "pencil", { salt, iterations: 4096 });
    const message = `c=biws,r=${nonce},p=${vector.proof}`;
    expect(await checkProof(crypto, exchange, message, verifier)).toEqual({
      type: "authenticated",
      serverFinal: vector.serverFinal,
    });
  });
});

const crypto = nodeScramCrypto();
const NONCE = "client-nonce-0123456789";

async function exchangeFor(principal: string) {
  const verifier = await makeVerifier(crypto, "pencil", { salt: new Uint8Array(16), iterations: 4096 });
  const first = parseClientFirst(clientFirst(principal, NONCE));
  if (first.type === "refused") throw new Error(first.reason);
  return { verifier, exchange: serverFirst(first, { ...verifier, serverNonce: "server-nonce-0123456789" }) };
}

test("a principal may have '=' and ','", async () => {
  const { verifier, exchange } = await exchangeFor("a=b,c");
  expect(exchange.principal).toBe("a=b,c");
  const final = await clientFinal(crypto, {
    principal: "a=b,c",
    secret: "pencil",
    nonce: NONCE,
    serverFirst: exchange.serverFirst,
  });
  if (final.type === "refused") throw new Error(final.reason);
  expect((await checkProof(crypto, exchange, final.message, verifier)).type).toBe("authenticated");
});

test("a wrong secret and an unknown principal look the same", async () => {
  const { verifier, exchange } = await exchangeFor("user");
  const final = await clientFinal(crypto, {
    principal: "user",
    secret: "guess",
    nonce: NONCE,
    serverFirst: exchange.serverFirst,
  });
  if (final.type === "refused") throw new Error(final.reason);
  const wrong = await checkProof(crypto, exchange, final.message, verifier);
  expect(wrong.type).toBe("refused");
  expect(await checkProof(crypto, exchange, final.message, undefined)).toEqual(wrong);
});

test("a proof that gives the all-zero key of an unknown principal does not exist: it stays refused", async () => {
  const { exchange } = await exchangeFor("nobody");
  for (const length of [1, 20, 32, 64]) {
    const message = `c=biws,r=${exchange.nonce},p=${toBase64(new Uint8Array(length))}`;
    expect((await checkProof(crypto, exchange, message, undefined)).type).toBe("refused");
  }
});

test.each([
  ["another channel binding", (message: string) => message.replace("c=biws", "c=eSws")],
  ["another nonce", (message: string) => message.replace(",r=", ",r=x")],
  ["another proof", (message: string) => message.replace(/p=.{8}/, "p=AAAAAAAA")],
  ["a shorter proof", (message: string) => message.replace(/p=.*/, "p=AAAA")],
  ["an extension", (message: string) => message.replace(",p=", ",x=y,p=")],
  ["no proof", (message: string) => message.replace(/,p=.*/, "")],
])("the server refuses %s", async (_, change) => {
  const { verifier, exchange } = await exchangeFor("user");
  const final = await clientFinal(crypto, {
    principal: "user",
    secret: "pencil",
    nonce: NONCE,
    serverFirst: exchange.serverFirst,
  });
  if (final.type === "refused") throw new Error(final.reason);
  expect((await checkProof(crypto, exchange, change(final.message), verifier)).type).toBe("refused");
});

test.each([
  ["a nonce that is not ours", "r=other-nonce-0123456789,s=AAAA,i=4096"],
  ["our nonce with nothing added", `r=${NONCE},s=AAAA,i=4096`],
  ["too few iterations", `r=${NONCE}x,s=AAAA,i=4095`],
  ["too many iterations", `r=${NONCE}x,s=AAAA,i=${ITERATIONS_MAX + 1}`],
  ["a number too long to be one", `r=${NONCE}x,s=AAAA,i=99999999`],
  ["a salt that is not base64", `r=${NONCE}x,s=A,i=4096`],
  ["no salt", `r=${NONCE}x,s=,i=4096`],
  ["a mandatory extension", `m=x,r=${NONCE}x,s=AAAA,i=4096`],
  ["an error", "e=other-error"],
  ["nothing", ""],
])("the client refuses %s", async (_, message) => {
  const result = await clientFinal(crypto, { principal: "user", secret: "pencil", nonce: NONCE, serverFirst: message });
  expect(result.type).toBe("refused");
});

test.each(
  [
    "",
    "n,,",
    "y,,n=user,r=abcdefghijklmnopqr",
    "n,a=admin,n=user,r=abcdefghijklmnopqr",
    "n,,n=user,r=short",
    "n,,n=,r=abcdefghijklmnopqr",
  ].concat([
    "n,,n=a=b,r=abcdefghijklmnopqr",
    "n,,n=user,r=abcdefghijklmnop,qr",
    "n,,n=user,r=abcdefghijklmnop\u0000qr",
    `n,,n=user,r=${"x".repeat(257)}`,
  ]),
)("the server refuses client-first '%s'", (message) => {
  expect(parseClientFirst(message).type).toBe("refused");
});

test("no text makes either side throw", async () => {
  const { verifier, exchange } = await exchangeFor("user");
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary" }), async (text) => {
      parseClientFirst(text);
      expect((await checkProof(crypto, exchange, text, verifier)).type).toBe("refused");
      expect((await clientFinal(crypto, { principal: "u", secret: "s", nonce: NONCE, serverFirst: text })).type).toBe(
        "refused",
      );
    }),
  );
});
