// The replicated log for operators: how its replicas stand, who its members are, whether what they hold agrees. What a change
// needs and what would lose the quorum is decided in src/log; here requests become calls, and answers JSON in snake_case.
import { type Context, Hono } from "hono";
import * as v from "valibot";
import { isNotLeading } from "#protocol/leadership.ts";
import type { Finding, LogStatus, ReplicaReport, StatusCall } from "../log/calls.ts";
import type { Electorate, Position, ReplicaId } from "../log/entry.ts";
import { needs } from "./access.ts";
import { jsonBody } from "./body.ts";
import type { HttpEnv } from "./http-env.ts";
import { refuseNotLeading } from "./masters.ts";

const replicaName = v.pipe(
  v.string("a replica is named replica-1 to replica-999"),
  v.regex(/^replica-[1-9]\d{0,2}$/, "a replica is named replica-1 to replica-999"),
  v.transform((text) => text as ReplicaId),
);
const changeSchema = v.variant("type", [
  v.strictObject({ type: v.literal("add"), replica: replicaName }),
  v.strictObject({ type: v.literal("remove"), replica: replicaName }),
  v.strictObject({ type: v.literal("replace"), replica: replicaName, by: replicaName }),
]);
const verifySchema = v.strictObject({
  from: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(1),
    v.transform((value) => value as Position),
  ),
});

/** Names that the master knows: those of the configuration may all have been replaced. Without a master, none. */
export async function knowledge(context: Context<HttpEnv>): Promise<StatusCall> {
  try {
    const known = await context.get("plane").leader.read((master) => master.logKnowledge());
    return isNotLeading(known) ? {} : structuredClone(known);
  } catch {
    return {};
  }
}

export function logRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.get("/mesoflare/log", needs("mesos-master-readonly"), async (context) =>
    context.json(
      statusJson(
        await context
          .get("plane")
          .registrar()
          .status(await knowledge(context)),
      ),
    ),
  );

  app.post("/mesoflare/log/members", needs("mesos-master-readwrite"), async (context) => {
    const body = await jsonBody(context, changeSchema);
    if (body.type === "refused") return body.response;
    // Takes as long as it takes to bring the replica that is to be seated up to date.
    const outcome = await context.get("plane").leader.write((master) => master.changeMembership(body.value));
    if (outcome.type === "not-leading") return refuseNotLeading(context, outcome);
    if (outcome.type === "refused") return context.text(`${outcome.reason}\n`, 409);
    if (outcome.type === "unknown") return context.text(`${outcome.reason}\n`, 504);
    return context.json(membershipJson(outcome.electorate));
  });

  // A change as well: a replica that is read and finds a damaged record stops voting until it is repaired.
  app.post("/mesoflare/log/verify", needs("mesos-master-readwrite"), async (context) => {
    const body = await jsonBody(context, verifySchema);
    if (body.type === "refused") return body.response;
    const registrar = context.get("plane").registrar();
    const { clusterId, electorate: known } = await registrar.status(await knowledge(context));
    if (clusterId === undefined) {
      return context.text("no quorum of the log's replicas names a cluster: see 'mesoflare log status'\n", 503);
    }
    const answer = await registrar.verify({ clusterId, from: body.value.from, known });
    if (answer.type === "unavailable") return context.text(`${answer.reason}\n`, 503);
    const { from, next, end, replicas, findings } = answer;
    return context.json({ from, next, end, replicas, findings: findings.map(findingJson) });
  });

  for (const [path, allow] of [
    ["/mesoflare/log", "GET, HEAD"],
    ["/mesoflare/log/members", "POST"],
    ["/mesoflare/log/verify", "POST"],
  ] as const) {
    app.all(path, (context) => {
      const [expected] = allow.split(",");
      return context.text(`Expecting one of { '${expected}' }, but received '${context.req.method}'\n`, 405, { allow });
    });
  }
  return app;
}

const statusJson = ({ replicas, clusterId, electorate }: LogStatus) => ({
  cluster_id: clusterId,
  ...(electorate === undefined ? {} : membershipJson(electorate)),
  replicas: replicas.map(replicaJson),
});

const membershipJson = ({ membership, position }: Electorate) => ({
  membership: membership.seats.map(({ replica }) => replica),
  membership_position: position,
});

const replicaJson = (report: ReplicaReport) => ({
  id: report.id,
  member: report.member,
  status: report.status,
  cluster_id: report.clusterId,
  incarnation: report.incarnation,
  begin: report.begin,
  end: report.end,
  missing_from: report.missingFrom,
  promised:
    report.promised === undefined
      ? undefined
      : { counter: report.promised.counter, candidate: report.promised.candidate },
  reason: report.reason,
  hint: report.hint,
  colo: report.colo,
});

const findingJson = ({ replica, type, position, detail }: Finding) => ({ replica, type, position, detail });
