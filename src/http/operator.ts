// The operators' GET endpoints in Mesos' shapes (endpoints.md §4), with their old `.json` names and the `/master` prefix.
import { Hono, type Context } from "hono";
import { parseDurationMs } from "#base/time.ts";
import type { FrameworkId, TaskId } from "#protocol/ids.ts";
import { VERSION_INFO } from "#protocol/version.ts";
import type { View } from "../durable-objects/master-do.ts";
import { needs } from "./access.ts";
import { advertised, reachedAt } from "./address.ts";
import type { HttpEnv } from "./http-env.ts";
import { answerElsewhere, refuseNotLeading } from "./masters.ts";

/** Mesos' default page of /tasks, and our bound for one. */
const TASKS_LIMIT_DEFAULT = 100;
const TASKS_LIMIT_MAX = 10_000;
const CALLBACK = /^[A-Za-z_$][\w$.]{0,127}$/;

type Handled = Context<HttpEnv>;

/** JSON without a charset, or wrapped for `?jsonp=`. A stream is passed on as it comes. */
export function json(context: Handled, text: string | ReadableStream): Response {
  const callback = context.req.query("jsonp");
  const isRefused = callback !== undefined && !CALLBACK.test(callback);
  // Nobody will read it.
  if (typeof text !== "string" && (isRefused || context.req.method === "HEAD")) {
    context.executionCtx.waitUntil(text.cancel());
    text = "";
  }
  if (isRefused) return context.text("'jsonp' must be the name of a function\n", 400);
  if (callback === undefined) return context.body(text, 200, { "content-type": "application/json" });
  const around = [`${callback}(`, ");"] as const;
  const wrapped = typeof text === "string" ? around.join(text) : wrap(context, text, around);
  return context.body(wrapped, 200, { "content-type": "text/javascript" });
}

function wrap(context: Handled, stream: ReadableStream, [before, after]: readonly [string, string]): ReadableStream {
  const { readable, writable } = new IdentityTransformStream();
  const write = async (text: string): Promise<void> => {
    const writer = writable.getWriter();
    await writer.write(new TextEncoder().encode(text));
    writer.releaseLock();
  };
  const whole = async (): Promise<void> => {
    await write(before);
    await stream.pipeTo(writable, { preventClose: true });
    await write(after);
    await writable.close();
  };
  // Cut on either side, it is cut on the other.
  context.executionCtx.waitUntil(whole().catch((error: unknown) => stream.cancel(error).catch(() => undefined)));
  return readable;
}

const view = (make: (context: Handled) => View) => async (context: Handled) => {
  const answer = await context
    .get("plane")
    .leader.read((master) => master.view(make(context), reachedAt(context.req.url), { slices: true }));
  if ("json" in answer) return json(context, answer.json);
  if ("stream" in answer) return json(context, answer.stream);
  if (answer.type === "busy") return context.text(`${answer.reason}\n`, 503, { "retry-after": "1" });
  return refuseNotLeading(context, answer);
};

/** A query that is not a number is ignored silently, as in Mesos. */
function count(text: string | undefined, otherwise: number, max: number): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Math.min(Number(text), max) : otherwise;
}

export function operatorRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  const readonly = needs("mesos-master-readonly");
  const both = (name: string) => [`/${name}`, `/${name}.json`, `/master/${name}`, `/master/${name}.json`];

  for (const path of ["/health", "/master/health"]) app.get(path, (context) => context.body(null, 200));
  for (const path of ["/version", "/master/version"])
    app.get(path, (context) => json(context, JSON.stringify(VERSION_INFO)));
  for (const path of ["/redirect", "/master/redirect"]) {
    app.get(path, async (context) => {
      const at = reachedAt(context.req.url);
      const { leader, addressed } = context.get("plane");
      const answer = await leader.read((master) => master.view({ type: "leader" }, at));
      if ("json" in answer) return context.body(null, 307, { location: JSON.parse(answer.json) as string });
      // Without a path: that of the request would lead back to here.
      if (addressed !== undefined && answer.leader !== undefined)
        return context.body(null, 307, { location: `//${advertised(context.env.ADVERTISE, context.req.url)}` });
      return context.text(`${answer.reason}\n`, 503);
    });
  }
  for (const path of both("state"))
    app.get(
      path,
      readonly,
      view(() => ({ type: "state" })),
    );
  for (const path of both("slaves")) {
    app.get(
      path,
      readonly,
      view((context) => ({ type: "slaves", slaveId: context.req.query("slave_id") })),
    );
  }
  for (const path of both("frameworks")) {
    app.get(
      path,
      readonly,
      view((context) => ({ type: "frameworks", frameworkId: context.req.query("framework_id") })),
    );
  }
  for (const path of both("tasks")) {
    app.get(
      path,
      readonly,
      view((context) => ({
        type: "tasks",
        limit: count(context.req.query("limit"), TASKS_LIMIT_DEFAULT, TASKS_LIMIT_MAX),
        offset: count(context.req.query("offset"), 0, Number.MAX_SAFE_INTEGER),
        order: context.req.query("order") === "asc" ? "asc" : "desc",
        frameworkId: context.req.query("framework_id") as FrameworkId | undefined,
        taskId: context.req.query("task_id") as TaskId | undefined,
      })),
    );
  }
  for (const path of both("roles")) {
    app.get(
      path,
      readonly,
      view(() => ({ type: "roles" })),
    );
  }
  app.get(
    "/:registrar{registrar(?:\\(1\\)|%281%29)}/registry",
    readonly,
    view(() => ({ type: "registry" })),
  );
  // Ours: every agent that the registry knows, with where it is in its life.
  app.get(
    "/mesoflare/agents",
    readonly,
    view(() => ({ type: "agents" })),
  );
  app.get("/metrics/snapshot", needs("mesos-master-readonly", { ofAnyCandidate: true }), async (context) => {
    const timeout = context.req.query("timeout");
    if (timeout !== undefined && parseDurationMs(timeout) === undefined) {
      return context.text(`'timeout' is a duration such as 100ms or 5secs, not '${timeout.slice(0, 64)}'\n`, 400);
    }
    const metrics = await context.get("plane").leader.read((master) => master.metrics());
    return typeof metrics === "string" ? json(context, metrics) : context.text(`${metrics.reason}\n`, 503);
  });
  // Paths that exist, asked for in another way.
  const known = new Set(app.routes.map(({ path }) => path));
  for (const path of known) {
    app.all(
      path,
      async (context) =>
        (await answerElsewhere(context)) ??
        context.text(`Expecting one of { 'GET' }, but received '${context.req.method}'\n`, 405, { allow: "GET, HEAD" }),
    );
  }
  return app;
}
