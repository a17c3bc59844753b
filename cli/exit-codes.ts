// How the command line ends. `run` hands on the task's own code, so that its own troubles need codes outside the usual.
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** run: --timeout was over. Source: timeout(1). */
  timeout: 124,
  /** run: the command line or the plane failed, and the task's result is not known. Source: docker run. */
  planeFailed: 125,
} as const;

/** What a shell shows for a process that a signal ended: 128 + its number. */
export const signalExit = (signal: number): number => 128 + signal;

export const EXIT_CODES_HELP = `
Exit codes: 0 ok, 1 failed, 2 wrong usage.`;

export const VERIFY_EXIT_CODES_HELP = `
Exit codes: 0 nothing wrong, 1 something was found or the command failed, 2 wrong usage.`;

export const RUN_EXIT_CODES_HELP = `
Exit codes: the task's own code; 128+N when signal N ended it; 124 when --timeout was over;
125 when the command line or the plane failed (wrong usage included); 130 after Ctrl-C.
With --detach: 0 once the task runs.`;
