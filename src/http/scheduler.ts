// POST /api/v1/scheduler: the checks of http-api-v1 §4 in their order. What needs the master's books is the master's.
import type { Epoch, Principal, StreamId } from "#protocol/ids.ts";
import { EPOCH_HEADER, isNotLeading, LEADER_HEADER, type NotLeading } from "#protocol/leadership.ts";
import { callSchema, type Call, type CallType } from "#protocol/scheduler.ts";
import type { CallRequest } from "../master/calls.ts";
import type { Subscribe } from "../durable-objects/master-do.ts";
import type { Master } from "../durable-objects/peers.ts";
import type { Plane } from "./http-env.ts";
import { reachedAt } from "./address.ts";
import { type CallBody, JSON_TYPE, plainText as text, readCallBody } from "./call-body.ts";

/** Length of a stream id that is looked at. Source: Mesos' own bound for `Mesos-Stream-Id`. */
const STREAM_ID_LENGTH_MAX = 128;

export async function onScheduler(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCall(request);
  if (read.type === "refused") {
    // A master that does not lead answers so before it looks at the request.
    const leadership = await plane.leader.read((master) => master.leadership());
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
  const answer = await plane.leader.write((master) => master.call({ call: rest, principal, streamId: known }));
  if (isNotLeading(answer)) return text(503, answer.reason);
  return answer.status === 202
    ? new Response(null, { status: 202, headers: { "content-length": "0" } })
    : text(answer.status, answer.text);
}

async function refuse(plane: Plane, status: number, reason: string): Promise<Response> {
  const leadership = await plane.leader.read((master) => master.leadership());
  return leadership.type === "leading" ? text(status, reason) : text(503, leadership.reason);
}

async function onSubscribe(plane: Plane, call: Call, principal: Principal, address: string): Promise<Response> {
  if (call.subscribe === undefined) return text(400, "Expecting 'subscribe' to be present");
  const subscription: Subscribe = {
    info: call.subscribe.framework_info,
    suppressedRoles: call.subscribe.suppressed_roles,
    offerConstraints: call.subscribe.offer_constraints,
    principal,
    streamId: crypto.randomUUID() as StreamId,
    reachedAt: address,
  };
  const answer = await plane.leader.write((master) => subscribeAt(master, subscription));
  return isNotLeading(answer) ? text(503, answer.reason) : answer;
}

/** SUBSCRIBE goes as a request, because its answer is a stream. */
async function subscribeAt(master: Master, subscription: Subscribe): Promise<Response | NotLeading> {
  const init = { method: "POST", body: JSON.stringify(subscription) };
  const answer = await master.fetch(new Request("http://master/subscribe", init));
  if (answer.status !== 503) return answer;
  const reason = await answer.text();
  const candidate = answer.headers.get(LEADER_HEADER);
  const epoch = Number(answer.headers.get(EPOCH_HEADER)) as Epoch;
  return { type: "not-leading", reason, ...(candidate === null ? {} : { leader: { candidate, epoch } }) };
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
