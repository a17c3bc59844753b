/** What this build calls itself, as `/version` and the agents report it. Dot-separated integers: clients parse it so. */
export const MESOFLARE_VERSION = "0.1.0";

/** The answer of `/version`. A build does not know when or by whom it was made: the same sources give the same bytes. */
export const VERSION_INFO = { build_date: "", build_time: 0, build_user: "", version: MESOFLARE_VERSION } as const;

/**
 * Version of the messages between agent and plane. A newer plane reads older agents; an older plane refuses a newer
 * agent with a message that says which side to upgrade. Bump it when the hash in `test/protocol/wire-hash.test.ts` changes.
 */
export const PROTOCOL_VERSION = 2;
