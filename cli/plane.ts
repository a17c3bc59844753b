// The plane's operator endpoints as the command line uses them: authenticated GETs, and refusals as sentences.
import { basicAuthorization } from "#scheduler/client.ts";
import type { Context } from "#protocol/credentials.ts";
import { Failure, reasonOf } from "./failure.ts";

/** Time for one answer, ms. */
const ANSWER_TIMEOUT_MS = 30_000;

export class Plane {
  readonly url: string;
  readonly #authorization: string;

  constructor(context: Context) {
    this.url = context.plane;
    this.#authorization = basicAuthorization(context);
  }

  /** Any status is an answer; only no answer at all is a {@link Failure}. */
  async fetch(
    path: string,
    { method = "GET", headers = {}, body }: RequestInit & { headers?: Record<string, string> } = {},
  ) {
    try {
      return await fetch(new URL(path, this.url), {
        method,
        headers: { ...headers, Authorization: this.#authorization },
        body,
        signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      });
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new Failure(`no answer from ${this.url}: ${reasonOf(cause) || "connection failed"}`);
    }
  }

  /** The JSON that a read-only endpoint answers. Its shape is Mesos' and is trusted as far as the caller looks. */
  async get<T>(path: string): Promise<T> {
    const response = await this.fetch(path);
    if (!response.ok) throw new Failure(await describeRefusal(`GET ${path}`, response));
    return (await response.json()) as T;
  }
}

export async function describeRefusal(request: string, response: Response): Promise<string> {
  const text = (await response.text().catch(() => "")).trim();
  if (response.status === 401) return `${request}: the plane does not accept this principal and secret (401)`;
  return `${request}: the plane answered ${response.status}${text === "" ? "" : `: ${text.slice(0, 1000)}`}`;
}
