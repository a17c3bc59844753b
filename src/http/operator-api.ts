// POST /api/v1 of the master (http-api-v1 §9): the checks in their order, then the call. Only MARK_AGENT_GONE is here yet.
import type { Principal } from "#protocol/ids.ts";
import { isNotLeading } from "#protocol/leadership.ts";
import { operatorCallSchema } from "#protocol/operator.ts";
import { plainText, readCallBody } from "./call-body.ts";
import type { Plane } from "./http-env.ts";

export async function onOperatorCall(request: Request, plane: Plane, principal: Principal): Promise<Response> {
  const read = await readCallBody(request, operatorCallSchema);
  if (read.type === "refused") return behindLeadership(plane, read.response);
  const { type, mark_agent_gone: gone } = read.call;
  if (type === undefined) {
    const reason = "Failed to validate master::Call: Expecting 'type' to be present";
    return behindLeadership(plane, plainText(400, reason));
  }
  if (type !== "MARK_AGENT_GONE") {
    return behindLeadership(plane, plainText(501, `This release of Mesoflare does not implement the call ${type}.`));
  }
  if (gone === undefined) return behindLeadership(plane, plainText(400, "Expecting 'mark_agent_gone' to be present"));
  const answer = await plane.leader.write((master) => master.markAgentGone(gone.agent_id.value, principal));
  if (isNotLeading(answer)) return plainText(503, answer.reason);
  return plainText(answer.status, answer.text, answer.text === "" ? { "content-length": "0" } : {});
}

/** A master that does not lead answers so before it looks at the request. */
async function behindLeadership(plane: Plane, response: Response): Promise<Response> {
  const leadership = await plane.leader.read((master) => master.leadership());
  return leadership.type === "leading" ? response : plainText(503, leadership.reason);
}
