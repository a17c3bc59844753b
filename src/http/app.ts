// All routes of the Worker, by audience.
import { Hono } from "hono";
import * as v from "valibot";
import type { ClusterId } from "../log/entry.ts";
import { needs } from "./access.ts";
import { agentRoutes } from "./agent.ts";
import { readBody } from "./body.ts";
import type { HttpEnv, Plane } from "./http-env.ts";
import { logRoutes } from "./log.ts";
import type { Env } from "../durable-objects/env.ts";
import { mastersRoutes, onlyAt } from "./masters.ts";
import { onOperatorCall } from "./operator-api.ts";
import { operatorRoutes } from "./operator.ts";
import { quotaRoutes } from "./quota.ts";
import { registryRoutes } from "./registry.ts";
import { onScheduler } from "./scheduler.ts";

const initSchema = v.object({
  cluster_id: v.pipe(
    v.string(),
    v.uuid("cluster_id must be a uuid"),
    v.transform((text) => text as ClusterId),
  ),
});
const INIT_BYTES_MAX = 1024;

/** Requests that address one candidate, after its name was taken off their path. */
const addressedTo = new WeakMap<Request, string>();

/** `planeOf` finds the objects behind a request's bindings, and the Worker's own entry points in `exports` of its context. */
export function app(planeOf: (env: Env, exports: unknown) => Plane): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.use(async (context, next) => {
    const plane = planeOf(context.env, context.executionCtx.exports);
    const addressed = addressedTo.get(context.req.raw);
    context.set(
      "plane",
      addressed === undefined
        ? plane
        : { ...plane, addressed, leader: onlyAt(addressed, (name) => plane.candidate(name)) },
    );
    await next();
  });
  // One candidate by its name, as Mesos' masters have addresses of their own: it serves as leader, or says who leads.
  routes.all("/masters/:name/*", (context) => {
    const { candidates, addressed } = context.get("plane");
    const name = context.req.param("name");
    if (addressed !== undefined) return context.text("404: no such endpoint\n", 404);
    if (!candidates.includes(name)) {
      return context.text(`no candidate '${name.slice(0, 64)}': this plane has ${candidates.join(", ")}\n`, 404);
    }
    const url = new URL(context.req.url);
    url.pathname = url.pathname.slice(`/masters/${name}`.length);
    const request = new Request(url, context.req.raw);
    addressedTo.set(request, name);
    return routes.fetch(request, context.env, context.executionCtx);
  });
  for (const path of ["/api/v1/scheduler", "/master/api/v1/scheduler"]) {
    routes.all(path, needs("mesos-master-scheduler"), (context) =>
      onScheduler(context.req.raw, context.get("plane"), context.get("principal")),
    );
  }
  for (const path of ["/api/v1", "/master/api/v1"]) {
    routes.all(path, needs("mesos-master-readwrite"), (context) =>
      onOperatorCall(context.req.raw, context.get("plane"), context.get("principal")),
    );
  }
  // Once in a cluster's life: never because everybody is empty.
  routes.post("/mesoflare/init", needs("mesos-master-readwrite"), async (context) => {
    const body = await readBody(context.req.raw, INIT_BYTES_MAX);
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), initSchema), body.type === "body" ? body.text : "");
    if (!parsed.success) return context.text('the body is {"cluster_id": "<uuid>"}\n', 400);
    // Always the same candidate, which remembers it, whoever leads.
    const { candidate, candidates } = context.get("plane");
    const answer = await candidate(candidates[0] ?? "").initialize(parsed.output.cluster_id);
    if (answer.type === "bootstrapped") {
      return context.json({
        cluster_id: parsed.output.cluster_id,
        replicas: answer.membership.seats.map(({ replica }) => replica),
      });
    }
    return context.text(`${answer.reason}\n`, answer.type === "unavailable" ? 503 : 409);
  });
  routes.route("/", logRoutes());
  routes.route("/", mastersRoutes());
  routes.route("/", registryRoutes());
  routes.route("/", quotaRoutes());
  routes.route("/", operatorRoutes());
  routes.route("/", agentRoutes());
  routes.notFound((context) => context.text("404: no such endpoint\n", 404));
  routes.onError((error, context) => {
    console.error(JSON.stringify({ message: "a request failed", path: context.req.path, error: String(error) }));
    return context.text("The plane failed to answer; its log says why. Try again.\n", 500);
  });
  return routes;
}
