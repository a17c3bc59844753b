// POST /api/v1/scheduler: the checks of http-api-v1 §4 in their order. What needs the master's books is the master's.
import type { Epoch, Principal, StreamId } from "#protocol/ids.ts";
import { EPOCH_HEADER, isNotLeading, LEADER_HEADER, type NotLeading } from "#protocol/leadership.ts";
import { acceptedType, MEDIA_TYPES, type MediaType } from "#protocol/media-type.ts";
import { callSchema, type Call, type CallType } from "#protocol/scheduler.ts";
import type { CallRequest } from "../master/calls.ts";
import type { Subscribe } from "../durable-objects/master-do.ts";
import type { Master } from "../durable-objects/peers.ts";
import type { Plane } from "./http-env.ts";
import { reachedAt } from "./address.ts";
import { formsOf, plainText as text, readCallBody } from "./call-body.ts";
import { behindLeadership } from "./order.ts";

/** Length of a stream id that is looked at. Source: Mesos' own bound for `Mesos-Stream-Id`. */
const STREAM_ID_LENGTH_MAX = 128;

const FORMS = formsOf("scheduler.Call");

type TypedCall = Call & { readonly type: CallType };

export async function onScheduler(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCallBody(request, callSchema, FORMS);
  if (read.type === "refused") return behindLeadership(plane, read.response);
  const refuse = (status: number, reason: string) => behindLeadership(plane, text(status, reason));
  const { type } = read.call;
  if (type === undefined) return refuse(400, invalid("Expecting 'type' to be present"));
  const call: TypedCall = { ...read.call, type };
  const problem = callProblem(call, principal);
  if (problem !== undefined) return refuse(400, invalid(problem));
  const contentType = acceptedType(request.headers.get("accept"));
  if (contentType === undefined && (type === "SUBSCRIBE" || type === "RECONCILE_OPERATIONS"))
    return refuse(406, `Expecting 'Accept' to allow ${MEDIA_TYPES.join(" or ")}`);
  const streamId = request.headers.get("mesos-stream-id");
  if (call.subscribe !== undefined && type === "SUBSCRIBE") {
    if (streamId !== null) return refuse(400, "Subscribe calls may not have the 'Mesos-Stream-Id' header");
    return onSubscribe(plane, call.subscribe, {
      principal,
      contentType: contentType ?? MEDIA_TYPES[0],
      reachedAt: reachedAt(request.url),
    });
  }
  const rest = call as CallRequest["call"];
  const known = streamId === null ? undefined : (streamId.slice(0, STREAM_ID_LENGTH_MAX) as StreamId);
  const answer = await plane.leader.write((master) => master.call({ call: rest, principal, streamId: known }));
  if (isNotLeading(answer)) return text(503, answer.reason);
  // A length, because clients take an answer without one for a stream.
  return text(answer.status, answer.text, answer.text === "" ? { "content-length": "0" } : {});
}

const invalid = (problem: string): string => `Failed to validate scheduler::Call: ${problem}`;

interface From {
  readonly principal: Principal;
  readonly contentType: MediaType;
  readonly reachedAt: string;
}

async function onSubscribe(plane: Plane, subscribe: NonNullable<Call["subscribe"]>, from: From): Promise<Response> {
  const subscription: Subscribe = {
    info: subscribe.framework_info,
    suppressedRoles: subscribe.suppressed_roles,
    offerConstraints: subscribe.offer_constraints,
    streamId: crypto.randomUUID() as StreamId,
    ...from,
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

/** What a call must have beside its type and the framework's id. */
const MEMBER: Partial<Record<CallType, keyof Call>> = {
  ACCEPT: "accept",
  DECLINE: "decline",
  ACCEPT_INVERSE_OFFERS: "accept_inverse_offers",
  DECLINE_INVERSE_OFFERS: "decline_inverse_offers",
  KILL: "kill",
  SHUTDOWN: "shutdown",
  ACKNOWLEDGE: "acknowledge",
  ACKNOWLEDGE_OPERATION_STATUS: "acknowledge_operation_status",
  RECONCILE: "reconcile",
  RECONCILE_OPERATIONS: "reconcile_operations",
  MESSAGE: "message",
  REQUEST: "request",
  UPDATE_FRAMEWORK: "update_framework",
};

/** The rules of http-api-v1 §4.1. */
function callProblem(call: TypedCall, principal: Principal): string | undefined {
  if (call.type === "SUBSCRIBE") return subscribeProblem(call, principal);
  if (call.framework_id === undefined) return "Expecting 'framework_id' to be present";
  const member = MEMBER[call.type];
  if (member !== undefined && call[member] === undefined) return `Expecting '${member}' to be present`;
  if (call.type === "ACKNOWLEDGE_OPERATION_STATUS" && call.acknowledge_operation_status?.agent_id === undefined)
    return "Expecting 'acknowledge_operation_status.agent_id' to be present";
  if (call.type === "UPDATE_FRAMEWORK" && call.update_framework?.framework_info.id?.value !== call.framework_id.value)
    return "'framework_id' differs from 'update_framework.framework_info.id'";
  return undefined;
}

function subscribeProblem({ framework_id, subscribe }: TypedCall, principal: Principal): string | undefined {
  if (subscribe === undefined) return "Expecting 'subscribe' to be present";
  const info = subscribe.framework_info;
  // An empty id is none: who sends one is a new framework.
  if ((framework_id?.value ?? "") !== (info.id?.value ?? ""))
    return "'framework_id' differs from 'subscribe.framework_info.id'";
  if (info.principal !== undefined && info.principal !== principal)
    return `The authenticated principal '${principal}' differs from 'framework_info.principal' '${info.principal}'`;
  return undefined;
}
