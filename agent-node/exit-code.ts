/** How the agent's process ends. Shown in `--help`; service managers and scripts go by these numbers. */
export const EXIT_CODE = {
  stopped: 0,
  unexpected: 1,
  configuration: 2,
  credentialRefused: 3,
  refusedByPlane: 4,
  /** The plane ended this agent's id; the next start registers as a new agent. */
  removed: 5,
  /** It was asked to unregister, and no answer says that the registry no longer has its id. */
  stillRegistered: 6,
} as const;
export type ExitCode = (typeof EXIT_CODE)[keyof typeof EXIT_CODE];

/** A reason to end that a person can mend: its message is printed without a stack, and its code is the exit code. */
export class StartError extends Error {
  override readonly name = "StartError";
  readonly code: ExitCode;

  constructor(message: string, code: ExitCode = EXIT_CODE.configuration) {
    super(message);
    this.code = code;
  }
}
