// SCRAM's three hash functions by node:crypto, for making verifiers.
import { createHash, createHmac, pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import type { ScramCrypto } from "#protocol/scram.ts";

const stretch = promisify(pbkdf2);
const DIGEST = "sha256";
const DIGEST_BYTES = 32;

export const nodeScramCrypto: ScramCrypto = {
  hmac: async (key, data) => new Uint8Array(createHmac(DIGEST, key).update(data).digest()),
  hash: async (data) => new Uint8Array(createHash(DIGEST).update(data).digest()),
  stretch: async (secret, salt, iterations) =>
    new Uint8Array(await stretch(secret, salt, iterations, DIGEST_BYTES, DIGEST)),
};
