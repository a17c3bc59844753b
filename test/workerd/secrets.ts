/** The principals of the plane under test. */
export const SECRETS = {
  agent: { secret: "agent-secret-1", role: "agent" },
  scheduler: { secret: "scheduler-secret-1", role: "framework" },
  operator: { secret: "operator-secret-1", role: "operator" },
  reader: { secret: "reader-secret-1", role: "read-only" },
} as const;
