// POST /api/v1 of the master (http-api-v1 §9): the checks in their order, then the call.
import type { Principal } from "#protocol/ids.ts";
import { acceptedType, JSON_TYPE } from "#protocol/media-type.ts";
import { type OperatorCall, operatorCallSchema, type OperatorCallType } from "#protocol/operator.ts";
import type { View } from "../durable-objects/master-do.ts";
import { reachedAt } from "./address.ts";
import { JSON_ONLY, plainText, readCallBody } from "./call-body.ts";
import type { Plane } from "./http-env.ts";
import { behindLeadership, change, type Order } from "./order.ts";

/** Members that their calls need. */
const MEMBER: Partial<Record<OperatorCallType, keyof OperatorCall>> = {
  MARK_AGENT_GONE: "mark_agent_gone",
  UPDATE_QUOTA: "update_quota",
  SET_QUOTA: "set_quota",
  REMOVE_QUOTA: "remove_quota",
  UPDATE_WEIGHTS: "update_weights",
};

export async function onOperatorCall(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCallBody(request, operatorCallSchema, JSON_ONLY);
  if (read.type === "refused") return behindLeadership(plane, read.response);
  const refuse = (status: number, reason: string) => behindLeadership(plane, plainText(status, reason));
  const { call } = read;
  const { type } = call;
  if (type === undefined) return refuse(400, "Failed to validate master::Call: Expecting 'type' to be present");
  const member = MEMBER[type];
  if (member !== undefined && call[member] === undefined) return refuse(400, `Expecting '${member}' to be present`);
  if (acceptedType(request.headers.get("accept"), [JSON_TYPE]) === undefined)
    return refuse(406, `Expecting 'Accept' to allow '${JSON_TYPE}'`);
  const order = orderOf(call, principal);
  if (order !== undefined) return change(plane, order);
  const reading = READINGS[type];
  if (reading === undefined) return refuse(501, `This release of Mesoflare does not implement the call ${type}.`);
  const answer = await plane.leader.read((master) => master.view(reading.view, reachedAt(request.url)));
  if (!("json" in answer)) return plainText(503, answer.reason);
  const text = JSON.stringify({ type, ...reading.members(JSON.parse(answer.json)) });
  // Clients tell a single answer from a stream by its length.
  const length = String(new TextEncoder().encode(text).length);
  return new Response(text, { headers: { "content-type": JSON_TYPE, "content-length": length } });
}

/** What changes something. */
function orderOf(call: OperatorCall, by: Principal): Order | undefined {
  switch (call.type) {
    case "MARK_AGENT_GONE": {
      const agentId = call.mark_agent_gone?.agent_id.value;
      return agentId === undefined ? undefined : (master) => master.markAgentGone(agentId, by);
    }
    case "UPDATE_QUOTA": {
      const { force = false, quota_configs: configs = [] } = call.update_quota ?? {};
      return (master) => master.updateQuota({ type: "update", configs, force }, by);
    }
    case "SET_QUOTA": {
      const { force = false, role = "", guarantee = [] } = call.set_quota?.quota_request ?? {};
      return (master) => master.updateQuota({ type: "set", role, guarantee, force }, by);
    }
    case "REMOVE_QUOTA": {
      const { role = "" } = call.remove_quota ?? {};
      return (master) => master.updateQuota({ type: "remove", role }, by);
    }
    case "UPDATE_WEIGHTS": {
      const { weight_infos: infos = [] } = call.update_weights ?? {};
      return (master) => master.updateWeights(infos, by);
    }
    default:
      return undefined;
  }
}

/** What only looks: which view of the master answers it, and as which member. A member of nothing is left out, as in Mesos. */
const READINGS: Partial<
  Record<OperatorCallType, { readonly view: View; readonly members: (json: unknown) => Record<string, unknown> }>
> = {
  GET_QUOTA: { view: { type: "quota" }, members: (status) => ({ get_quota: { status } }) },
  GET_WEIGHTS: { view: { type: "weights" }, members: (infos) => listed("get_weights", "weight_infos", infos) },
  GET_ROLES: { view: { type: "role-infos" }, members: (roles) => listed("get_roles", "roles", roles) },
};

const listed = (member: string, name: string, list: unknown): Record<string, unknown> =>
  Array.isArray(list) && list.length === 0 ? {} : { [member]: { [name]: list } };
