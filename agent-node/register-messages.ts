// `register` in as many frames as the agent's tasks need. Decides what of a task is reported, and where frames end.
import {
  type AgentInfo,
  type AgentMessage,
  FRAME_BYTES_MAX,
  FRAME_ITEMS_MAX,
  type SystemStatistics,
  type TaskReport,
} from "#protocol/agent.ts";
import { type AgentState, latestState } from "./checkpoint/state.ts";

/** Reports in one frame, bytes: what else is in it takes far less than the rest. */
const REPORTS_BYTES_MAX = FRAME_BYTES_MAX - 128 * 1024;
/** Statuses in one report: the wire's own bound. */
const STATUSES_MAX = 16;

export function registerMessages(state: AgentState, info: AgentInfo, system: SystemStatistics): AgentMessage[] {
  const batches = inFrames(taskReports(state));
  return batches.map((tasks, i) => ({
    type: "register",
    agentId: state.registration?.agentId,
    lastSession: state.registration?.session,
    clusterId: state.registration?.clusterId,
    info,
    tasks,
    part: i + 1,
    more: i < batches.length - 1,
    system,
  }));
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

function inFrames(reports: readonly TaskReport[]): TaskReport[][] {
  const frames: TaskReport[][] = [[]];
  let bytes = 0;
  for (const report of reports.map(fitted)) {
    const size = byteLength(report);
    const last = frames.at(-1);
    if (last === undefined || last.length >= FRAME_ITEMS_MAX || (last.length > 0 && bytes + size > REPORTS_BYTES_MAX)) {
      frames.push([report]);
      bytes = size;
    } else {
      last.push(report);
      bytes += size;
    }
  }
  return frames;
}

/** A task that filled its launch order to the brim is reported without what only its launch needed. */
function fitted(report: TaskReport): TaskReport {
  if (byteLength(report) <= REPORTS_BYTES_MAX) return report;
  return { ...report, task: { ...report.task, command: undefined } };
}

const byteLength = (report: TaskReport): number => Buffer.byteLength(JSON.stringify(report));
