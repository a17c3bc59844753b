/** What this build calls itself, as `/version` and the agents report it. Dot-separated integers: clients parse it so. */
export const MESOFLARE_VERSION = "0.1.0";

/**
 * Version of the messages between agent and plane. A newer plane reads older agents; an older plane refuses a newer
 * agent with a message that says which side to upgrade. Bump it when the hash in `test/protocol/wire-hash.test.ts` changes.
 */
export const PROTOCOL_VERSION = 1;
