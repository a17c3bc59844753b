// POST /api/v1/scheduler: the checks of http-api-v1 §4 in their order. What needs the master's books is the master's.
import type { Principal, StreamId } from "#protocol/ids.ts";
import { callSchema, type Call, type CallType } from "#protocol/scheduler.ts";
import type { CallRequest } from "../master/calls.ts";
import type { SubscribeRequest } from "../durable-objects/master-do.ts";
import type { Plane } from "./http-env.ts";
import { reachedAt } from "./address.ts";
import { type CallBody, JSON_TYPE, plainText as text, readCallBody } from "./call-body.ts";

/** Length of a stream id that is looked at. Source: Mesos' own bound for `Mesos-Stream-Id`. */
const STREAM_ID_LENGTH_MAX = 128;

export async function onScheduler(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCall(request);
  if (read.type === "refused") {
    // A master that does not lead answers so before it looks at the request.
    const leadership = await plane.master().leadership();
    return leadership.type === "leading" ? read.response : text(503, leadership.reason);
  }
  const { call } = read;
  const problem = callProblem(call, principal);
  const streamId = request.headers.get("mesos-stream-id");
  if (problem !== undefined) return refuse(plane, 400, problem);
  if (call.type === "SUBSCRIBE") {
    if (!acceptsJson(request.headers.get("accept")))
      return refuse(plane, 406, `Expecting 'Accept' to allow '${JSON_TYPE}'`);
    if (streamId !== null) return refuse(plane, 400, "Subscribe calls may not have the 'Mesos-Stream-Id' header");
    return onSubscribe(plane, call, principal, reachedAt(request.url));
  }
  const rest = { ...call, type: call.type } as CallRequest["call"];
  const known = streamId === null ? undefined : (streamId.slice(0, STREAM_ID_LENGTH_MAX) as StreamId);
  const answer = await plane.master().call({ call: rest, principal, streamId: known });
  return answer.status === 202
    ? new Response(null, { status: 202, headers: { "content-length": "0" } })
    : text(answer.status, answer.text);
}

async function refuse(plane: Plane, status: number, reason: string): Promise<Response> {
  const leadership = await plane.master().leadership();
  return leadership.type === "leading" ? text(status, reason) : text(503, leadership.reason);
}

async function onSubscribe(plane: Plane, call: Call, principal: Principal, address: string): Promise<Response> {
  if (call.subscribe === undefined) return text(400, "Expecting 'subscribe' to be present");
  const subscription: SubscribeRequest = {
    info: call.subscribe.framework_info,
    principal,
    streamId: crypto.randomUUID() as StreamId,
    reachedAt: address,
  };
  return plane.master().fetch("http://master/subscribe", { method: "POST", body: JSON.stringify(subscription) });
}

async function readCall(request: Request): Promise<CallBody<Call & { readonly type: CallType }>> {
  const read = await readCallBody(request, callSchema);
  if (read.type === "refused") return read;
  const { type } = read.call;
  if (type === undefined) {
    const response = text(400, "Failed to validate scheduler::Call: Expecting 'type' to be present");
    return { type: "refused", response };
  }
  return { type: "call", call: { ...read.call, type } };
}

const MEMBER: Partial<Record<CallType, keyof Call>> = {
  SUBSCRIBE: "subscribe",
  ACCEPT: "accept",
  DECLINE: "decline",
  KILL: "kill",
  ACKNOWLEDGE: "acknowledge",
  RECONCILE: "reconcile",
};

/** The rules of http-api-v1 §4.1. */
function callProblem(call: Call & { readonly type: CallType }, principal: Principal): string | undefined {
  const member = MEMBER[call.type];
  if (member !== undefined && call[member] === undefined) return `Expecting '${member}' to be present`;
  if (call.type === "SUBSCRIBE") {
    const info = call.subscribe?.framework_info;
    const [outer, inner] = [call.framework_id?.value ?? "", info?.id?.value ?? ""];
    if (outer !== inner) return "'framework_id' differs from 'subscribe.framework_info.id'";
    if (info?.principal !== undefined && info.principal !== principal) {
      return `The authenticated principal '${principal}' differs from 'framework_info.principal' '${info.principal}'`;
    }
    return undefined;
  }
  if (call.framework_id === undefined) return "Expecting 'framework_id' to be present";
  return undefined;
}

/** Whether an Accept header allows JSON: absent does, present but empty does not, q=0 excludes. */
export function acceptsJson(accept: string | null): boolean {
  if (accept === null) return true;
  return accept.split(",").some((range) => {
    const [type, ...parameters] = range.split(";").map((part) => part.trim());
    const excluded = parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
    return !excluded && (type === JSON_TYPE || type === "application/*" || type === "*/*");
  });
}
