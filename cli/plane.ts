// The plane's operator endpoints as the command line uses them: authenticated requests, and refusals as sentences.
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { text } from "node:stream/consumers";
import { basicAuthorization } from "#scheduler/client.ts";
import type { Context } from "#protocol/credentials.ts";
import { Failure, reasonOf } from "./failure.ts";

/** Time for one answer, ms. */
const ANSWER_TIMEOUT_MS = 30_000;
/** After this long without a byte, the system begins to ask whether the other end is still there, ms. */
const KEEP_ALIVE_MS = 30_000;

interface PlaneRequest {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Waits for the answer as long as the connection lives: for what takes as long as it takes. */
  readonly patient?: boolean;
}

export class Plane {
  readonly url: string;
  readonly #authorization: string;

  constructor(context: Context) {
    this.url = context.plane;
    this.#authorization = basicAuthorization(context);
  }

  /** Any status is an answer; only no answer at all is a {@link Failure}. */
  async fetch(path: string, { method = "GET", headers, body, patient = false }: PlaneRequest = {}): Promise<Response> {
    const url = new URL(path, this.url);
    const init = { method, headers: { ...headers, Authorization: this.#authorization }, body };
    try {
      if (patient) return await fetchPatiently(url, init);
      return await fetch(url, { ...init, signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });
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

/** Node's fetch gives up on an answer that does not begin within 5 min, and takes no other time; its http waits. */
function fetchPatiently(
  url: URL,
  { method, headers, body }: { method: string; headers: Record<string, string>; body: string | undefined },
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = (url.protocol === "https:" ? requestHttps : requestHttp)(url, { method, headers }, (answer) => {
      text(answer).then((content) => resolve(new Response(content, { status: answer.statusCode })), reject);
    });
    request.on("error", reject);
    request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
    request.end(body);
  });
}

export async function describeRefusal(request: string, response: Response): Promise<string> {
  const text = (await response.text().catch(() => "")).trim();
  if (response.status === 401) return `${request}: the plane does not accept this principal and secret (401)`;
  return `${request}: the plane answered ${response.status}${text === "" ? "" : `: ${text.slice(0, 1000)}`}`;
}
