/** Answers, to whoever asks, from which data centre the question came. */
const TRACE_URL = "https://www.cloudflare.com/cdn-cgi/trace";
const TRACE_TIMEOUT_MS = 2_000;

/** The data centre that the calling object runs in, e.g. "AMS"; undefined when it cannot be found out. */
export async function ownColo(): Promise<string | undefined> {
  const response = await fetch(TRACE_URL, { signal: AbortSignal.timeout(TRACE_TIMEOUT_MS) });
  return /^colo=([A-Z]{3})$/m.exec(await response.text())?.[1];
}
