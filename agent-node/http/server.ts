// The loopback port. Everything that it answers is decided in routes.ts.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { errorCode, errorText } from "../checkpoint/durable-file.ts";
import { StartError } from "../exit-code.ts";
import { type Answer, BODY_BYTES_MAX } from "./answer.ts";

export type Answering = (path: string, range: string | undefined) => Answer;

/** Listens on 127.0.0.1. Throws {@link StartError} when the port is taken. */
export async function listen(port: number, answering: Answering): Promise<Server> {
  const server = createServer((request, response) => {
    void serve(answering, request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain; charset=utf-8" });
      response.end(`${errorText(error)}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error) =>
      reject(
        errorCode(error) === "EADDRINUSE" || errorCode(error) === "EACCES"
          ? new StartError(
              `port ${port} on 127.0.0.1 cannot be used (${errorCode(error) ?? ""}): choose another with --port, or 0 for none`,
            )
          : error,
      ),
    );
    server.listen(port, "127.0.0.1");
  });
  server.unref();
  return server;
}

async function serve(
  answering: Answering,
  { method, url = "/", headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (method !== "GET" && method !== "HEAD") {
    response
      .writeHead(405, { allow: "GET, HEAD", "content-type": "text/plain; charset=utf-8" })
      .end("Only GET is served here.\n");
    return;
  }
  const first = answering(url, headers.range);
  const size = wholeSize(first);
  if (headers.range !== undefined || size === undefined) {
    response.writeHead(first.status, { ...first.headers, "content-length": first.body.length });
    response.end(method === "HEAD" ? undefined : first.body);
    return;
  }
  // A file longer than one answer, asked for whole: here it can be put together.
  const { "content-range": _, ...rest } = first.headers;
  response.writeHead(200, { ...rest, "content-length": size });
  if (method === "HEAD") return void response.end();
  response.write(first.body);
  for (let at = first.body.length; at < size;) {
    const { status, body } = answering(url, `bytes=${at}-${Math.min(size, at + BODY_BYTES_MAX) - 1}`);
    if (status !== 206 || body.length === 0) return void response.destroy(); // it became shorter meanwhile
    at += body.length;
    if (!response.write(body)) await new Promise((resolve) => response.once("drain", resolve).once("close", resolve));
    if (response.destroyed) return;
  }
  response.end();
}

function wholeSize({ status, headers }: Answer): number | undefined {
  const total = status === 206 ? /\/(\d+)$/.exec(headers["content-range"] ?? "")?.[1] : undefined;
  return total === undefined ? undefined : Number(total);
}
