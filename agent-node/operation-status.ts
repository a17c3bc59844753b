// What the agent says about an operation that it was given.
import type { OperationStatus } from "#protocol/operation.ts";
import type { Resource } from "#protocol/resource.ts";
import type { Stamp } from "./task-status.ts";

/** Longest message in a status, characters: the wire's own bound. */
const MESSAGE_MAX = 4096;

interface About {
  /** What the framework calls it. */
  readonly operationId: string | undefined;
  readonly stamp: Stamp;
}

/** `converted`: what it made. */
export const finishedOperationStatus = (converted: Resource[], about: About): OperationStatus => ({
  ...statusOf(about),
  state: "OPERATION_FINISHED",
  converted_resources: converted,
});

export const failedOperationStatus = (message: string, about: About): OperationStatus => ({
  ...statusOf(about),
  state: "OPERATION_FAILED",
  message: message.slice(0, MESSAGE_MAX),
  converted_resources: [],
});

const statusOf = ({ operationId, stamp: { agentId, uuid } }: About) => ({
  operation_id: operationId === undefined ? undefined : { value: operationId },
  uuid: { value: uuid },
  agent_id: agentId === undefined ? undefined : { value: agentId },
});
