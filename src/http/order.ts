// What an operator has the leader do: asked once, answered when the registry has decided.
import { isNotLeading } from "#protocol/leadership.ts";
import type { Master } from "../durable-objects/peers.ts";
import { plainText } from "./call-body.ts";
import type { Plane } from "./http-env.ts";

export type Order = (master: Master) => ReturnType<Master["markAgentGone"]>;

export async function change({ leader }: Plane, order: Order): Promise<Response> {
  const answer = await leader.write(order);
  if (isNotLeading(answer)) return plainText(503, answer.reason);
  return plainText(answer.status, answer.text, answer.text === "" ? { "content-length": "0" } : {});
}

/** A master that does not lead answers so before it looks at the request. */
export async function behindLeadership({ leader }: Plane, response: Response): Promise<Response> {
  const leadership = await leader.read((master) => master.leadership());
  return leadership.type === "leading" ? response : plainText(503, leadership.reason);
}
