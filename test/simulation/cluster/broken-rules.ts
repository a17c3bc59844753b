// Rules of the cluster that can be switched off one at a time: the simulation must then find a violation, which is how we know that it
// sees. Each is switched off where the simulation reaches it: at the edges of the shells, in the tables, or in the agent's shell.

export const CLUSTER_RULES = {
  "news-before-registry": "frameworks hear of a lost agent only after the registry has it",
  "registered-before-commit": "no agent is registered before its admission is committed",
  "epoch-fence": "an agent obeys no epoch below the highest that it has obeyed",
  "session-fence": "an agent obeys orders of its present session only",
  sequence: "an order that was seen is not done again",
  "stale-cache": "a new epoch begins with empty tables",
  "stale-leader": "a quorum has confirmed whoever leads within 5 s, and after the cause of what ends tasks",
  "future-confirmation": "a confirmation counts for 5 s, also when the clock is set back",
  "unbooked-socket": "a gateway that has more agents than the books have closes what the books do not have",
  "report-hole": "a registration with a missing part is not taken",
  clone: "a copy of an agent's disk does not run beside it",
  "durable-orders": "orders are durable before they are acted upon",
  "live-set": "a gateway that begins anew tells its whole live set",
  "shutdown-unasked": "an agent is told to shut down only when the registry refused it",
  books: "what is allocated on an agent is what is offered there and what its tasks and executors hold",
  limit: "what is offered to a role keeps within its quota",
} as const;
export type ClusterRule = keyof typeof CLUSTER_RULES;

export const isClusterRule = (name: string): name is ClusterRule => Object.hasOwn(CLUSTER_RULES, name);
