// The master candidates: what one of them answers when it is addressed itself and another leads (http-api-v1 §4, rows 3 to 5), how
// they stand, and an operator's order that another one shall lead.
import { type Context, Hono } from "hono";
import * as v from "valibot";
import { toSeconds } from "#base/time.ts";
import type { KnownLeader, Leadership, NotLeading } from "#protocol/leadership.ts";
import type { CandidateStatus } from "../durable-objects/master-do.ts";
import { needs } from "./access.ts";
import { advertised } from "./address.ts";
import { jsonBody } from "./body.ts";
import type { HttpEnv, LeaderCalls, Plane } from "./http-env.ts";

/** Time that a candidate has to say how it stands, ms: an election without a quorum takes less. */
const STATUS_MS_MAX = 8_000;

/** Rows 3 to 5, for a path that names a candidate: undefined where it leads, and on all other paths. */
export async function answerElsewhere(context: Context<HttpEnv>): Promise<Response | undefined> {
  const { addressed, leader } = context.get("plane");
  if (addressed === undefined) return undefined;
  const leadership = await leader.read((master) => master.leadership());
  return leadership.type === "leading" ? undefined : refuseNotLeading(context, leadership);
}

/** 307 where a candidate was addressed that knows who leads; 503 in words otherwise. */
export function refuseNotLeading(context: Context<HttpEnv>, { reason, leader }: NotLeading): Response {
  if (context.get("plane").addressed === undefined || leader === undefined) return context.text(`${reason}\n`, 503);
  const { pathname, search } = new URL(context.req.url);
  const routed = pathname === "/api/v1" || pathname.startsWith("/api/v1/") ? `/master${pathname}` : pathname;
  return context.body(null, 307, {
    location: `//${advertised(context.env.ADVERTISE, context.req.url)}${routed}${search}`,
  });
}

/** The calls of a request that addresses one candidate: to that one only. */
export function onlyAt(name: string, candidate: Plane["candidate"]): LeaderCalls {
  const call = async <T>(ask: (master: ReturnType<Plane["candidate"]>) => Promise<T>): Promise<T | NotLeading> => {
    try {
      return await ask(candidate(name));
    } catch (error) {
      return { type: "not-leading", reason: `${name} did not answer: ${String(error)}` };
    }
  };
  return { read: call, write: call, learn: () => undefined };
}

const failoverSchema = v.strictObject({ to: v.optional(v.string("'to' is the name of a candidate")) });

export function mastersRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.get("/mesoflare/masters", needs("mesos-master-readonly"), async (context) => {
    const { candidates, candidate } = context.get("plane");
    const masters = await Promise.all(
      candidates.map(async (name) => masterJson(name, await statusWithin(() => candidate(name).status()))),
    );
    const leader = masters.reduce<MasterJson | undefined>(
      (best, one) => (one.state === "leads" && (one.epoch ?? 0) > (best?.epoch ?? -1) ? one : best),
      undefined,
    );
    return context.json({ leader: leader?.name, epoch: leader?.epoch, time: Date.now() / 1000, masters });
  });

  app.post("/mesoflare/masters/failover", needs("mesos-master-readwrite"), async (context) => {
    const body = await jsonBody(context, failoverSchema);
    if (body.type === "refused") return body.response;
    const plane = context.get("plane");
    const { candidates } = plane;
    const { to } = body.value;
    if (to !== undefined && !candidates.includes(to)) {
      return context.text(`no candidate '${to.slice(0, 64)}': this plane has ${candidates.join(", ")}\n`, 404);
    }
    const [only, second] = candidates;
    if (second === undefined) {
      return context.text(`this plane has one candidate, ${only}: deploy it with MASTERS of 2 or more\n`, 409);
    }
    const now = await plane.leader.read((master) => master.leadership());
    const from = now.type === "leading" ? now.candidate : now.leader?.candidate;
    const chosen = to ?? nextOf(candidates, from);
    let outcome: Leadership;
    try {
      outcome = structuredClone(await plane.candidate(chosen).failover());
    } catch (error) {
      return context.text(`${chosen} did not answer: ${String(error)}\n`, 503);
    }
    if (outcome.type === "not-leading") return context.text(`${chosen} cannot lead: ${outcome.reason}\n`, 503);
    plane.leader.learn(outcome);
    return context.json(leaderJson(outcome, from));
  });

  for (const [path, allow] of [
    ["/mesoflare/masters", "GET, HEAD"],
    ["/mesoflare/masters/failover", "POST"],
  ] as const) {
    app.all(path, (context) => {
      const [expected] = allow.split(",");
      return context.text(`Expecting one of { '${expected}' }, but received '${context.req.method}'\n`, 405, { allow });
    });
  }
  return app;
}

const nextOf = (candidates: readonly string[], candidate: string | undefined): string =>
  candidates[(candidates.indexOf(candidate ?? "") + 1) % candidates.length] ?? "";

const leaderJson = ({ candidate, epoch }: KnownLeader, from: string | undefined) => ({
  leader: candidate,
  epoch,
  from,
});

type Asked =
  | { readonly type: "status"; readonly status: CandidateStatus }
  | { readonly type: "unreachable"; readonly reason: string };

async function statusWithin(ask: () => Promise<CandidateStatus>): Promise<Asked> {
  const { promise: late, resolve } = Promise.withResolvers<Asked>();
  const timer = setTimeout(() => {
    resolve({ type: "unreachable", reason: `no answer within ${STATUS_MS_MAX / 1000} s` });
  }, STATUS_MS_MAX);
  const answered = ask().then(
    (status): Asked => ({ type: "status", status }),
    (error: unknown): Asked => ({ type: "unreachable", reason: String(error) }),
  );
  return Promise.race([answered, late]).finally(() => clearTimeout(timer));
}

interface MasterJson {
  readonly name: string;
  readonly state: "leads" | "follows" | "unreachable";
  readonly epoch?: number;
  /** Of the one that leads: since when, s. */
  readonly since?: number;
  /** Of the others: whom they follow, and in words. */
  readonly leader?: string;
  readonly reason?: string;
  readonly ballot?: number;
  readonly confirmed_at?: number;
  readonly hint?: string;
  readonly colo?: string;
}

function masterJson(name: string, asked: Asked): MasterJson {
  if (asked.type === "unreachable") return { name, state: "unreachable", reason: asked.reason };
  const { leadership, electedAt, ballot, confirmedAt, hint, colo } = asked.status;
  const confirmed_at = confirmedAt === undefined ? undefined : toSeconds(confirmedAt);
  const always = { name, ballot: ballot?.counter, confirmed_at, hint, colo };
  if (leadership.type === "leading") {
    const since = electedAt === undefined ? undefined : toSeconds(electedAt);
    return { ...always, state: "leads", epoch: leadership.epoch, since };
  }
  const { leader, reason } = leadership;
  return { ...always, state: "follows", epoch: leader?.epoch, leader: leader?.candidate, reason };
}
