import { expect, test } from "vitest";
import { formatVerifiers, parseVerifiers } from "#protocol/credentials.ts";
import type { Principal } from "#protocol/ids.ts";
import { checkSecret } from "#protocol/scram.ts";
import { makeCredential, withVerifier } from "../../cli/credentials.ts";
import { nodeScramCrypto } from "../../cli/scram-crypto.ts";

const name = (text: string): Principal => text as Principal;

test("a new credential's secret matches its verifier after the verifier's way to the plane, and no other does", async () => {
  const { secret, verifier } = await makeCredential(name("me"), "framework");
  const [stored] = parseVerifiers(formatVerifiers([verifier])).principals;
  if (stored === undefined) throw new Error("no verifier");
  expect(stored).toMatchObject({ principal: "me", role: "framework", iterations: 4096 });
  expect(await checkSecret(nodeScramCrypto, secret, stored)).toBe(true);
  expect(await checkSecret(nodeScramCrypto, `${secret}x`, stored)).toBe(false);
});

test("secrets are 32 random bytes and differ", async () => {
  const [one, other] = await Promise.all([makeCredential(name("a"), "agent"), makeCredential(name("a"), "agent")]);
  expect(Buffer.from(one.secret, "base64url")).toHaveLength(32);
  expect(one.secret).not.toBe(other.secret);
});

test("a principal's verifier is replaced in its place, a new one comes last", async () => {
  const make = async (principal: string) => (await makeCredential(name(principal), "agent")).verifier;
  const [a, b, again, c] = await Promise.all([make("a"), make("b"), make("a"), make("c")]);
  expect(withVerifier([a, b], again)).toEqual([again, b]);
  expect(withVerifier([a, b], c)).toEqual([a, b, c]);
});
