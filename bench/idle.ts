// `bench -- idle`: what agents cost that do nothing. An hour of virtual time of the gateways' and the master's cores counts who is
// woken and what is written; test/e2e/idle.test.ts shows that workerd agrees. The rest is the platform's price list.
import { idleHour } from "../test/agent/idle-hour.ts";
import { rounded, type Figure, type Report } from "./report.ts";

const HOURS = 720;
/** Agents of one gateway in a plane that is set up as the README says. */
const AGENTS_PER_GATEWAY = 800;
const REPLICAS = 3;
/** Requests of one check-in with one candidate: of the sweep's object to the master. With several the log's tail is read: one more to each replica, and one page. */
const CHECK_IN_REQUESTS = 1 + REPLICAS + 1;
/** Of a master that wakes: an election, what it chose, a confirmation, each to all replicas. */
const WAKE_REQUESTS = 4 * REPLICAS;
/** Rows of a wake: at each replica the promise and the watermark. */
const WAKE_REPLICA_ROWS = 2 * REPLICAS;
/** An object is awake this long for an alarm or a call that finds nothing to do, s. The platform bills no idle time of hibernating ones. */
const AWAKE_S = 0.05;
const OBJECT_GB = 0.128;

/** Cloudflare's paid plan, US dollars: prices beyond what is included, and what is included in a month. */
const PRICES = {
  base: 5,
  requests: { perMillion: 0.15, included: 1e6 },
  gbSeconds: { perMillion: 12.5, included: 400_000 },
  rowsWritten: { perMillion: 1, included: 50e6 },
} as const;
/** Incoming socket messages count as requests at 20 to 1. Whether those that are answered automatically count is not said: they do here. */
const MESSAGES_PER_REQUEST = 20;

const beyond = ({ perMillion, included }: { perMillion: number; included: number }, used: number): number =>
  (Math.max(0, used - included) / 1e6) * perMillion;

interface Month {
  readonly requests: number;
  readonly rows: number;
  readonly gbSeconds: number;
  readonly usd: number;
}

function month(agents: number): Month {
  const gateways = Math.ceil(agents / AGENTS_PER_GATEWAY);
  const { gateway, master, pings } = idleHour(Math.min(agents, AGENTS_PER_GATEWAY));
  const pingRequests = (pings / Math.min(agents, AGENTS_PER_GATEWAY)) * (agents / MESSAGES_PER_REQUEST);
  const wakes = master.alarms * (1 + WAKE_REQUESTS + gateways);
  const requests = HOURS * (gateways * (gateway.alarms + master.checkIns * CHECK_IN_REQUESTS) + wakes + pingRequests);
  const rows = HOURS * (gateways * gateway.rows + master.rows + master.elections * WAKE_REPLICA_ROWS);
  const awake = gateways * (gateway.alarms + master.checkIns * CHECK_IN_REQUESTS) + wakes;
  const gbSeconds = HOURS * awake * AWAKE_S * OBJECT_GB;
  const { base, requests: byRequest, gbSeconds: byTime, rowsWritten } = PRICES;
  const usd = base + beyond(byRequest, requests) + beyond(byTime, gbSeconds) + beyond(rowsWritten, rows);
  return { requests, rows, gbSeconds, usd };
}

export async function idle(): Promise<Report> {
  const figures: Figure[] = [];
  for (const agents of [10, 1_000, 10_000]) {
    const { requests, rows, gbSeconds, usd } = month(agents);
    const perAgentHour = (value: number): number => rounded(value / HOURS / agents);
    figures.push(
      { name: `requests_agent_hour_${agents}`, value: perAgentHour(requests), unit: "requests" },
      { name: `rows_agent_hour_${agents}`, value: perAgentHour(rows), unit: "rows written" },
      { name: `gb_s_agent_hour_${agents}`, value: perAgentHour(gbSeconds), unit: "GB-s" },
      { name: `usd_month_${agents}`, value: rounded(usd), unit: "USD" },
    );
  }
  const { gateway, master, pings } = idleHour(AGENTS_PER_GATEWAY);
  figures.push(
    { name: "pings_gateway_hour", value: pings, unit: "messages that wake nobody" },
    { name: "wakes_gateway_hour", value: gateway.alarms, unit: "wake-ups" },
    { name: "check_ins_gateway_hour", value: master.checkIns, unit: "calls" },
    { name: "wakes_master_hour", value: master.alarms, unit: "wake-ups" },
  );
  return {
    bench: "idle",
    method:
      `an hour of virtual time of the cores with ${AGENTS_PER_GATEWAY} agents a gateway, ${REPLICAS} replicas, no framework connected; a month is ${HOURS} h; each wake-up ` +
      `counted as ${AWAKE_S} s awake; pings counted as requests at ${MESSAGES_PER_REQUEST} to 1 although they are answered automatically; the paid plan's base of 5 USD and what it includes are in`,
    figures,
  };
}
