// The registry for operators, read from the log itself: as it is, as it was at a position, and the history that led there. It answers while no
// master leads. What may be shown is decided in src/registrar/shown.ts; here queries become calls, and answers JSON in snake_case.
import { type Context, Hono } from "hono";
import * as v from "valibot";
import type { Millis } from "#base/time.ts";
import { type AgentId, idProblem } from "#protocol/ids.ts";
import { describeIssue } from "#protocol/json.ts";
import type { Position } from "../log/entry.ts";
import type { HistoryEntry, Part, RegistryAnswer } from "../registrar/calls.ts";
import type { Leader, Quantity, QuotaConfig } from "../registrar/registry.ts";
import type { ShownChange, ShownRegistry } from "../registrar/shown.ts";
import { needs } from "./access.ts";
import type { HttpEnv } from "./http-env.ts";
import { knowledge } from "./log.ts";

const PATH = "/mesoflare/registry";
/** Most parts that a caller may name. */
const PARTS_MAX = 1_000;

const POSITION_RULE = "is the number of an entry, from 1 on";
const positionText = v.pipe(
  v.string(),
  v.regex(/^[1-9]\d{0,15}$/, POSITION_RULE),
  v.transform(Number),
  v.safeInteger(POSITION_RULE),
  v.transform((value) => value as Position),
);
const PART_RULE = "is what an answer gave as 'next', like 1/4";
const querySchema = v.strictObject({
  at: v.optional(positionText),
  from: v.optional(positionText),
  history: v.optional(
    v.pipe(
      v.picklist(["true", "false"], "is true or false"),
      v.transform((text) => text === "true"),
    ),
    "false",
  ),
  agent: v.optional(
    v.pipe(
      v.string(),
      v.check((text) => idProblem(text) === undefined, "is the id of an agent"),
      v.transform((text) => text as AgentId),
    ),
  ),
  part: v.optional(
    v.pipe(
      v.string(),
      v.regex(/^\d{1,4}\/\d{1,4}$/, PART_RULE),
      v.transform((text): Part => {
        const [index = 0, of = 0] = text.split("/").map(Number);
        return { index, of };
      }),
      v.check(({ index, of }) => index < of && of <= PARTS_MAX, PART_RULE),
    ),
  ),
});
type Query = v.InferOutput<typeof querySchema>;

export function registryRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();

  app.get(PATH, needs("mesos-master-readonly"), async (context) => {
    const query = queryOf(context);
    if (query instanceof Response) return query;
    const registrar = context.get("plane").registrar();
    const { clusterId, electorate: known } = await registrar.status(await knowledge(context));
    if (clusterId === undefined) {
      return context.text("no quorum of the log's replicas names a cluster: see 'mesoflare log status'\n", 503);
    }
    const { at, from, agent, part } = query;
    const log = { clusterId, known };
    if (query.history) {
      const answer = await registrar.history({ ...log, from, to: at, agent });
      if (answer.type === "unavailable") return context.text(`${answer.reason}\n`, 503);
      const { begin, decidedTo, end, entries, next } = answer;
      const extent = { begin, decided_to: decidedTo, end };
      return context.json({ cluster_id: clusterId, ...extent, entries: entries.map(entryJson), next });
    }
    const answer = await registrar.registry({ ...log, at, agent, part });
    if (answer.type === "unavailable") return context.text(`${answer.reason}\n`, 503);
    if (answer.type === "unanswerable") return context.text(`${answer.reason}\n`, 409);
    return context.json({ cluster_id: clusterId, ...registryJson(answer) });
  });

  app.all(PATH, (context) =>
    context.text(`Expecting one of { 'GET' }, but received '${context.req.method}'\n`, 405, { allow: "GET, HEAD" }),
  );
  return app;
}

/** A name that is given twice, or that we do not know, is a mistake that should not be guessed at. */
function queryOf(context: Context<HttpEnv>): Query | Response {
  const refused = (reason: string): Response => context.text(`${reason}\n`, 400);
  const search = new URL(context.req.url).searchParams;
  for (const name of search.keys()) {
    if (!Object.hasOwn(querySchema.entries, name)) return refused(`there is no '${name.slice(0, 32)}' to ask for`);
    const count = search.getAll(name).length;
    if (count > 1) return refused(`'${name}' is given ${count} times`);
  }
  const parsed = v.safeParse(querySchema, Object.fromEntries(search), { abortEarly: true });
  if (!parsed.success)
    return refused(`the query is not what it must be: ${describeIssue(parsed.issues).slice(0, 300)}`);
  const { history, from, part, at } = parsed.output;
  if (from !== undefined && !history) return refused("'from' is where history begins: give history=true with it");
  if (part !== undefined && history) return refused("history goes on with 'from', not with 'part'");
  if (part !== undefined && part.index > 0 && at === undefined) {
    return refused("'part' goes on with an answer: give its position as 'at'");
  }
  return parsed.output;
}

const time = (at: Millis): string | undefined =>
  Number.isFinite(new Date(at).getTime()) ? new Date(at).toISOString() : undefined;

const leaderJson = ({ candidate, masterId, epoch }: Leader) => ({ candidate, master_id: masterId, epoch });

function registryJson({
  at,
  begin,
  decidedTo,
  end,
  leader,
  registry,
  next,
}: Extract<RegistryAnswer, { type: "registry" }>) {
  return {
    position: at,
    begin,
    decided_to: decidedTo,
    end,
    leader: leader === undefined ? undefined : leaderJson(leader),
    ...tablesJson(registry),
    next: next === undefined ? undefined : `${next.index}/${next.of}`,
  };
}

const tablesJson = (registry: ShownRegistry) => ({
  agents: {
    admitted: registry.admitted.map(({ agentId, info, principal, admittedAt }) => ({
      id: agentId,
      hostname: info.hostname,
      port: info.port,
      principal,
      admitted_at: time(admittedAt),
      resources: info.resources,
      attributes: info.attributes,
    })),
    unreachable: registry.unreachable.map(({ agentId, hostname, principal, admittedAt, at }) => ({
      id: agentId,
      hostname,
      principal,
      admitted_at: time(admittedAt),
      unreachable_at: time(at),
    })),
    gone: registry.gone.map(({ agentId, hostname, at }) => ({ id: agentId, hostname, gone_at: time(at) })),
  },
  frameworks: {
    registered: registry.registeredFrameworks.map(({ frameworkId, principal, failoverTimeoutMs }) => ({
      id: frameworkId,
      principal,
      failover_timeout: failoverTimeoutMs / 1000,
    })),
    disconnected: registry.disconnectedFrameworks.map(({ frameworkId, principal, deadline }) => ({
      id: frameworkId,
      principal,
      deadline: time(deadline),
    })),
    removed: registry.removedFrameworks.map(({ frameworkId, at }) => ({ id: frameworkId, removed_at: time(at) })),
  },
  credentials: registry.credentials.map(({ principal, role, verifiers }) => ({ principal, role, verifiers })),
  weights: registry.weights,
  quotas: registry.quotas.map(quotaJson),
});

const quotaJson = ({ role, guarantees, limits }: QuotaConfig) => ({
  role,
  guarantees: quantitiesJson(guarantees),
  limits: quantitiesJson(limits),
});

const quantitiesJson = (quantities: readonly Quantity[]): Record<string, number> =>
  Object.fromEntries(quantities.map(({ name, value }) => [name, value]));

function entryJson(entry: HistoryEntry) {
  switch (entry.type) {
    case "leader":
      return { position: entry.position, type: entry.type, leader: leaderJson(entry.leader) };
    case "operations": {
      const { position, type, leader, changes } = entry;
      return {
        position,
        type,
        leader: leader === undefined ? undefined : leaderJson(leader),
        changes: changes.map(changeJson),
      };
    }
    case "membership":
    case "truncate":
    case "unreadable":
      return entry;
  }
}

const changeJson = ({ operation, audit: { who, when, why } }: ShownChange) => ({
  type: operation.type,
  agents: operation.agentIds,
  framework: operation.frameworkId,
  principal: operation.principal,
  role: operation.role,
  hostname: operation.hostname,
  deadline: operation.deadline === undefined ? undefined : time(operation.deadline),
  failover_timeout: operation.failoverTimeoutMs === undefined ? undefined : operation.failoverTimeoutMs / 1000,
  strict: operation.strict,
  weights: operation.weights,
  quotas: operation.quotas?.map(quotaJson),
  who,
  when: time(when),
  why,
});
