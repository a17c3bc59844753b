// The agent's API: a pure map from path and range to an answer. Served on the loopback port and through the plane alike.
import { MESOFLARE_VERSION } from "#protocol/version.ts";
import type { Paths } from "../checkpoint/paths.ts";
import { errorText } from "../checkpoint/durable-file.ts";
import { type Answer, jsonAnswer, textAnswer, TUNNEL_BYTES_MAX } from "./answer.ts";
import { filesAnswer } from "./files.ts";

export interface Routes {
  readonly paths: Paths;
  /** The content of /state. */
  readonly state: () => unknown;
}

/** One GET through the plane: whatever goes wrong, and however much there is to say, it is one frame that the plane takes. */
export function tunnelAnswer(routes: Routes, path: string, range: string | undefined): Answer {
  try {
    const whole = answer(routes, path, range);
    if (whole.body.length <= TUNNEL_BYTES_MAX) return whole;
    return textAnswer(400, `The answer has ${whole.body.length} bytes, more than fit one frame: ask for less.\n`);
  } catch (error) {
    return textAnswer(400, `This cannot be served: ${errorText(error)}\n`);
  }
}

/** One GET. `path` has the query; `range` is the header of that name. Never throws for what the asker wrote. */
export function answer({ paths, state }: Routes, path: string, range: string | undefined): Answer {
  let url: URL;
  let name: string;
  try {
    url = new URL(path, "http://agent");
    name = decodeURIComponent(url.pathname);
  } catch {
    return textAnswer(400, "Bad path.\n");
  }
  const query = url.searchParams;
  // Mesos answers with and without the actor's name in front, and old tools ask with `.json` (endpoints §1).
  const route = name
    .replace(/^\/slave\(1\)(?=\/)/, "")
    .replace(/(?<=.)\/+$/, "")
    .replace(/\.json$/, "");
  const file = /^\/(?:slave\(1\)\/)?files\/([a-z]+)$/.exec(route)?.[1];
  if (file !== undefined) return filesAnswer(paths, file, query, range);
  switch (route) {
    case "/health":
      return textAnswer(200, "");
    case "/version":
      return jsonAnswer({ version: MESOFLARE_VERSION }, query.get("jsonp"));
    case "/state":
      return jsonAnswer(state(), query.get("jsonp"));
    default:
      return textAnswer(404, "Not found.\n");
  }
}
