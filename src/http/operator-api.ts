// POST /api/v1 of the master (http-api-v1 §9): the checks in their order, then the call. Only MARK_AGENT_GONE is here yet.
import type { Principal } from "#protocol/ids.ts";
import { operatorCallSchema } from "#protocol/operator.ts";
import { plainText, readCallBody } from "./call-body.ts";
import type { Plane } from "./http-env.ts";

export async function onOperatorCall(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCallBody(request, operatorCallSchema);
  if (read.type === "refused") return behindLeadership(plane, read.response);
  const { call } = read;
  if (call.type === undefined) {
    const reason = "Failed to validate master::Call: Expecting 'type' to be present";
    return behindLeadership(plane, plainText(400, reason));
  }
  if (call.type !== "MARK_AGENT_GONE") {
    const reason = `This release of Mesoflare does not implement the call ${call.type}.`;
    return behindLeadership(plane, plainText(501, reason));
  }
  if (call.mark_agent_gone === undefined) {
    return behindLeadership(plane, plainText(400, "Expecting 'mark_agent_gone' to be present"));
  }
  const answer = await plane.master().markAgentGone(call.mark_agent_gone.agent_id.value, principal);
  return plainText(answer.status, answer.text, answer.text === "" ? { "content-length": "0" } : {});
}

/** A master that does not lead answers so before it looks at the request. */
async function behindLeadership(plane: Plane, response: Response): Promise<Response> {
  const leadership = await plane.master().leadership();
  return leadership.type === "leading" ? response : plainText(503, leadership.reason);
}
