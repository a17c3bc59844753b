// Agents: their sockets, and their own GET endpoints tunnelled through the plane, because they take no connections.
import { Hono } from "hono";
import * as v from "valibot";
import { AGENT_SOCKET_PATH } from "#protocol/agent.ts";
import { hostKeyText, type AgentId } from "#protocol/ids.ts";
import { needs } from "./access.ts";
import type { HttpEnv } from "./http-env.ts";
import { refuseNotLeading } from "./masters.ts";

/** Headers of an agent's answer that pass through; the rest is the plane's own business. */
const PASSED_HEADERS = ["content-type", "content-range", "content-disposition", "accept-ranges"] as const;
/** Longest path with its query that is passed on: the wire's own bound. */
const TUNNEL_PATH_LENGTH_MAX = 8192;
const SAFE_TYPES = /^(?:application\/json|text\/plain|text\/javascript|application\/octet-stream)(?:;|$)/;
/** What of an agent's API is reachable from outside. */
const TUNNELLED = /^\/(?:files\/(?:read|browse|download|debug)(?:\.json)?|state(?:\.json)?|health|version)$/;

export function agentRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  // No credentials here: the agent proves who it is with SCRAM inside the socket, before it may say anything else.
  app.get(`${AGENT_SOCKET_PATH}/:hostKey`, async (context) => {
    const hostKey = v.safeParse(hostKeyText, context.req.param("hostKey"));
    if (!hostKey.success) return context.text("the path ends with the host key: 32 hexadecimal digits\n", 400);
    if (context.req.header("upgrade")?.toLowerCase() !== "websocket") {
      return context.text("this is where agents open their WebSocket\n", 426, { upgrade: "websocket" });
    }
    const plane = context.get("plane");
    return plane.gateway(plane.gatewayNameOf(hostKey.output)).fetch(context.req.raw);
  });

  app.get("/agents/:agentId/*", needs("mesos-master-readonly"), async (context) => {
    const url = new URL(context.req.url);
    const range = context.req.header("range");
    if (url.pathname.length + url.search.length > TUNNEL_PATH_LENGTH_MAX)
      return context.text("the path is too long\n", 414);
    if (range !== undefined && !/^bytes=\d{0,15}-\d{0,15}$/.test(range)) {
      return context.text("'Range' is one range of bytes, such as bytes=0-99\n", 400);
    }
    const path = url.pathname.slice(url.pathname.indexOf("/", "/agents/".length));
    if (!TUNNELLED.test(path)) return context.text("no such endpoint on an agent\n", 404);
    const plane = context.get("plane");
    const agentId = context.req.param("agentId") as AgentId;
    const located = await plane.leader.read((master) => master.locate(agentId));
    if (located.type === "not-leading") return refuseNotLeading(context, located);
    if (located.type === "absent") return context.text(`${located.reason}\n`, located.status);
    const answer = await plane.gateway(located.gateway).tunnel({
      socketId: located.socketId,
      path: `${path}${url.search}`,
      range,
    });
    if (answer.type === "gone") return context.text(`${answer.reason}\n`, 504);
    if (answer.status < 200 || answer.status > 599 || answer.status === 205)
      return context.text("the agent's answer is none\n", 502);
    const headers = new Headers();
    for (const name of PASSED_HEADERS) {
      const value = answer.headers[name];
      if (value !== undefined) headers.set(name, value);
    }
    // What a task wrote, or a hostile agent says, must not run as a page of the plane, which has the reader's credentials.
    headers.set("content-security-policy", "sandbox");
    headers.set("x-content-type-options", "nosniff");
    if (!SAFE_TYPES.test(headers.get("content-type") ?? "")) headers.set("content-type", "application/octet-stream");
    return new Response(answer.status === 204 || answer.status === 304 ? null : answer.body, {
      status: answer.status,
      headers,
    });
  });
  return app;
}
