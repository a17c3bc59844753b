// `register` in as many frames as what the agent has to report needs. Decides what is reported, and where frames end.
import {
  type AgentInfo,
  type AgentMessage,
  type ExecutorReport,
  FRAME_BYTES_MAX,
  type OperationReport,
  type SystemStatistics,
  type TaskReport,
} from "#protocol/agent.ts";
import { type AgentState, latestState } from "./checkpoint/state.ts";
import { liveExecutors } from "./executors.ts";
import { byteLength, ENVELOPE_BYTES, inFrames } from "./frames.ts";
import { withTotal } from "./resources/total.ts";

/** Statuses in one report: the wire's own bound. */
const STATUSES_MAX = 16;

type Item =
  | { readonly type: "executor"; readonly report: ExecutorReport }
  | { readonly type: "operation"; readonly report: OperationReport }
  | { readonly type: "task"; readonly report: TaskReport };

/** `given`: what flags say of the agent. */
export function registerMessages(state: AgentState, given: AgentInfo, system: SystemStatistics): AgentMessage[] {
  const info = withTotal(given, state.converted);
  const bytesMax = FRAME_BYTES_MAX - ENVELOPE_BYTES - byteLength(info);
  const items: Item[] = [
    ...liveExecutors(state).map((report) => ({ type: "executor" as const, report })),
    ...[...state.operations.values()].map((report) => ({ type: "operation" as const, report })),
    ...taskReports(state).map((report) => ({ type: "task" as const, report: fitted(report, bytesMax) })),
  ];
  const frames = inFrames(items, bytesMax);
  if (frames.length === 0) frames.push([]);
  return frames.map((frame, i) => {
    const operations = frame.flatMap((item) => (item.type === "operation" ? [item.report] : []));
    const executors = frame.flatMap((item) => (item.type === "executor" ? [item.report] : []));
    return {
      type: "register",
      agentId: state.registration?.agentId,
      lastSession: state.registration?.session,
      clusterId: state.registration?.clusterId,
      info,
      tasks: frame.flatMap((item) => (item.type === "task" ? [item.report] : [])),
      ...(operations.length === 0 ? {} : { operations }),
      ...(executors.length === 0 ? {} : { executors }),
      part: i + 1,
      more: i < frames.length - 1,
      system,
    };
  });
}

/** Each task with the updates still to be acknowledged, oldest first; with its newest one when none is. */
export function taskReports(state: AgentState): TaskReport[] {
  return [...state.tasks].map(([key, { framework, task }]) => {
    const stream = state.streams.get(key);
    const pending = stream?.pending ?? [];
    const known = stream?.acknowledged === undefined ? [] : [stream.acknowledged];
    const statuses = (pending.length > 0 ? pending : known).slice(0, STATUSES_MAX);
    return { framework, task, latest: latestState(state, key), statuses };
  });
}

/** A task that filled its launch order to the brim is reported without what only its launch needed. */
function fitted(report: TaskReport, bytesMax: number): TaskReport {
  if (byteLength(report) <= bytesMax) return report;
  return { ...report, task: { ...report.task, command: undefined } };
}
