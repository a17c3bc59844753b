// `fetch` over connections that are let go of before the plane closes them: workerd does so after 5 s, and a call that was just sent is lost.
import { Agent, type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";

/** A connection that nobody used for so long is not used again, ms. */
const IDLE_MS_MAX = 2_000;

export function shortLivedFetch(): typeof fetch {
  const agent = new Agent({ keepAlive: true, timeout: IDLE_MS_MAX });
  return (input, init = {}) =>
    new Promise((resolve, reject) => {
      const { method = "GET", signal } = init;
      const headers = Object.fromEntries(new Headers(init.headers));
      // A stream is silent for longer, and has a connection of its own.
      const isStream = typeof init.body === "string" && init.body.includes('"type":"SUBSCRIBE"');
      const options = { method, headers, ...(isStream ? { agent: false as const } : { agent }) };
      const sent = request(String(input instanceof Request ? input.url : input), {
        ...options,
        ...(signal === undefined || signal === null ? {} : { signal }),
      });
      sent.on("response", async (response: IncomingMessage) => {
        const { statusCode: status = 0 } = response;
        // Read to its end, or its connection could not be used again.
        const body = isStream ? (Readable.toWeb(response) as ReadableStream<Uint8Array>) : await text(response);
        const given = Object.entries(response.headers).flatMap(([name, value]): [string, string][] =>
          typeof value === "string" ? [[name, value]] : [],
        );
        resolve(new Response(body, { status, headers: given }));
      });
      sent.on("error", reject);
      sent.end(init.body);
    });
}
