// SCRAM's hash functions for tests, from node:crypto.
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import type { ScramCrypto } from "#protocol/scram.ts";

export const nodeScram: ScramCrypto = {
  hmac: async (key, data) => createHmac("sha256", key).update(data).digest(),
  hash: async (data) => createHash("sha256").update(data).digest(),
  stretch: async (secret, salt, iterations) => pbkdf2Sync(secret, salt, iterations, 32, "sha256"),
};
