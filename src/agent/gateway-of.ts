// Which gateway holds a host's socket: rendezvous hashing, so that another gateway count moves only the share it must.
import type { HostKey } from "#protocol/ids.ts";

/** Most gateways of one plane. */
export const GATEWAYS_MAX = 64;

/** The name of the gateway with the highest weight for this host. */
export function gatewayOf(hostKey: HostKey, gateways: number): string {
  let best = { name: "gateway-1", weight: -1 };
  for (let i = 1; i <= gateways; i++) {
    const name = `gateway-${i}`;
    const weight = hash(`${name}/${hostKey}`);
    if (weight > best.weight) best = { name, weight };
  }
  return best.name;
}

/** FNV-1a with a final mix, 32 bits: spreads, and is not a secret. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
