// SCRAM's arithmetic on this platform.
import { createHash, createHmac, pbkdf2 } from "node:crypto";
import type { ScramCrypto } from "#protocol/scram.ts";

/** `sha256` for the wire; `sha1` only checks the message code against RFC 5802's vector. */
export function nodeScramCrypto(hash: "sha256" | "sha1" = "sha256"): ScramCrypto {
  const length = hash === "sha256" ? 32 : 20;
  return {
    hmac: async (key, data) => new Uint8Array(createHmac(hash, key).update(data).digest()),
    hash: async (data) => new Uint8Array(createHash(hash).update(data).digest()),
    stretch: (secret, salt, iterations) =>
      new Promise((resolve, reject) => {
        pbkdf2(secret, salt, iterations, length, hash, (error, key) =>
          error === null ? resolve(new Uint8Array(key)) : reject(error),
        );
      }),
  };
}
