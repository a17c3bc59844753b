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
import { operatorRoutes } from "./operator.ts";
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

/** `planeOf` finds the objects behind a request's bindings, and the Worker's own entry points in `exports` of its context. */
export function app(planeOf: (env: Env, exports: unknown) => Plane): Hono<HttpEnv> {
  const routes = new Hono<HttpEnv>();
  routes.use(async (context, next) => {
    context.set("plane", planeOf(context.env, context.executionCtx.exports));
    await next();
  });
  for (const path of ["/api/v1/scheduler", "/master/api/v1/scheduler"]) {
    routes.all(path, needs("mesos-master-scheduler"), (context) =>
      onScheduler(context.req.raw, context.get("plane"), context.get("principal")),
    );
  }
  // Once in a cluster's life: never because everybody is empty.
  routes.post("/mesoflare/init", needs("mesos-master-readwrite"), async (context) => {
    const body = await readBody(context.req.raw, INIT_BYTES_MAX);
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), initSchema), body.type === "body" ? body.text : "");
    if (!parsed.success) return context.text('the body is {"cluster_id": "<uuid>"}\n', 400);
    const answer = await context.get("plane").master().initialize(parsed.output.cluster_id);
    if (answer.type === "bootstrapped") {
      return context.json({
        cluster_id: parsed.output.cluster_id,
        replicas: answer.membership.seats.map(({ replica }) => replica),
      });
    }
    return context.text(`${answer.reason}\n`, answer.type === "unavailable" ? 503 : 409);
  });
  routes.route("/", logRoutes());
  routes.route("/", registryRoutes());
  routes.route("/", operatorRoutes());
  routes.route("/", agentRoutes());
  routes.notFound((context) => context.text("404: no such endpoint\n", 404));
  routes.onError((error, context) => {
    console.error(JSON.stringify({ message: "a request failed", path: context.req.path, error: String(error) }));
    return context.text("The plane failed to answer; its log says why. Try again.\n", 500);
  });
  return routes;
}
