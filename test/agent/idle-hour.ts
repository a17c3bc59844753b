// An hour of virtual time with idle agents: the gateway's and the master's cores, and what their shells do with them: who is woken, and
// which rows are written. A ping does neither: the runtime answers it, and the sweep reads when it came.
import { millis, type Millis } from "#base/time.ts";
import type { Epoch } from "#protocol/ids.ts";
import { newGateway, takeBatch, takeCheckIn } from "../../src/agent/gateway.ts";
import { overdue, type Session } from "../../src/agent/session.ts";
import { nextSweep } from "../../src/agent/sweep.ts";
import { deadlineOf, onGatewayHeard } from "../../src/master/absence.ts";
import { nextDeadline } from "../../src/master/deadlines.ts";
import { Cluster, hostKey } from "../master/cluster.ts";

const HOUR_MS = 3_600_000;
const PING_MS = 15_000;
const SILENCE_MS = 75_000;

/** Its ballot, and how far its ids have come. */
const ROWS_OF_A_WAKE = 2;

export interface IdleHour {
  readonly gateway: { readonly alarms: number; readonly rows: number; readonly batches: number };
  readonly master: {
    readonly alarms: number;
    readonly rows: number;
    readonly checkIns: number;
    readonly elections: number;
  };
  readonly pings: number;
}

/** `agents` at one gateway. Rows are the settings of an object's alarm: nothing else is written. */
export function idleHour(agents: number): IdleHour {
  const cluster = new Cluster();
  const sessions = Array.from({ length: agents }, (_, i): Session => registered(cluster, i + 1));
  const { master } = cluster;
  const gateway = newGateway("gateway-1", { incarnation: 1, owesLive: false, sessions, epoch: 7 as Epoch });
  const counts = { alarms: 0, rows: 0, batches: 0 };
  const atMaster = { alarms: 0, rows: 0, checkIns: 0, elections: 0 };
  const begin = cluster.now;
  let sweepAt: Millis | undefined = nextSweep(sessions, cluster.now);
  let masterAlarm: Millis | undefined;
  const setMasterAlarm = (): void => {
    const due = nextDeadline(master, cluster.now);
    if (due === undefined || (masterAlarm !== undefined && masterAlarm <= due)) return;
    masterAlarm = due;
    atMaster.rows += 1;
  };
  setMasterAlarm();
  atMaster.rows = 0; // that was the registrations'
  for (;;) {
    const now = millis(Math.min(sweepAt ?? Infinity, masterAlarm ?? Infinity));
    if (now > begin + HOUR_MS) break;
    cluster.now = now;
    if (now === sweepAt) {
      counts.alarms += 1;
      for (const session of sessions) {
        const lastHeard = millis(now - (now % PING_MS));
        if (overdue(session, { lastHeard, silenceMs: SILENCE_MS, now }) !== undefined)
          throw new Error("an idle agent was cut off");
      }
      if (takeBatch(gateway, () => [], { retry: true }) !== undefined) counts.batches += 1;
      if (takeCheckIn(gateway, now)) {
        // The master is asleep, and does not wake for it: the log's tail answers.
        atMaster.checkIns += 1;
      }
      sweepAt = nextSweep(sessions, now);
      counts.rows += 1;
    }
    if (now === masterAlarm) {
      atMaster.alarms += 1;
      masterAlarm = undefined;
      if ((deadlineOfAgents(cluster) ?? Infinity) <= now) throw new Error("a deadline of idle agents fell due");
      // A new instance: it stores a ballot and its next ids, elects, and asks every gateway.
      atMaster.rows += ROWS_OF_A_WAKE;
      atMaster.elections += 1;
      onGatewayHeard(master, "gateway-1", now);
      setMasterAlarm();
    }
  }
  const rowsOfMaster = master.marked.agents.size + master.marked.tasks.size + master.marked.frameworks.size;
  return {
    gateway: counts,
    master: { ...atMaster, rows: atMaster.rows + rowsOfMaster },
    pings: (agents * HOUR_MS) / PING_MS,
  };
}

/** Without the gateway's silence, which is what the master wakes for. */
function deadlineOfAgents({ master }: Cluster): Millis | undefined {
  const deadlines = [...master.agents.values()].flatMap((agent) => deadlineOf(master, agent) ?? []);
  return deadlines.length === 0 ? undefined : millis(Math.min(...deadlines));
}

function registered(cluster: Cluster, host: number): Session {
  const { agentId, socket } = cluster.agent(host);
  for (const marks of [cluster.master.marked.agents, cluster.master.marked.tasks]) marks.clear();
  return {
    state: "registered",
    socketId: socket.socketId,
    hostKey: hostKey(host),
    openedAt: cluster.now,
    principal: "agent",
    epochSeen: 7,
    protocolVersion: 2,
    agentId,
    epoch: 7,
  } as unknown as Session;
}
