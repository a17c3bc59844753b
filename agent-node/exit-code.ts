/** How the agent's process ends. Shown in `--help`; service managers and scripts go by these numbers. */
export const EXIT_CODE = {
  stopped: 0,
  unexpected: 1,
  configuration: 2,
  credentialRefused: 3,
  refusedByPlane: 4,
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
