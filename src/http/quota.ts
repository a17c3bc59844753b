// `/quota` and `/weights` (endpoints.md §4), under `/master` as well: who may change what roles get may also see it here.
// Quotas with limits of their own are set by UPDATE_QUOTA of `/api/v1`.
import { type Context, Hono } from "hono";
import * as v from "valibot";
import { describeIssue } from "#protocol/json.ts";
import { quotaRequestSchema, weightInfosSchema } from "#protocol/operator.ts";
import type { View } from "../durable-objects/master-do.ts";
import { needs } from "./access.ts";
import { reachedAt } from "./address.ts";
import { readBody } from "./body.ts";
import { plainText } from "./call-body.ts";
import type { HttpEnv } from "./http-env.ts";
import { refuseNotLeading } from "./masters.ts";
import { json } from "./operator.ts";
import { behindLeadership, change } from "./order.ts";

/** Largest body: the weights of as many roles as may have one. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;

type Handled = Context<HttpEnv>;

export function quotaRoutes(): Hono<HttpEnv> {
  const app = new Hono<HttpEnv>();
  // As in Mesos, a slash at the end says nothing.
  const named = (name: string): string[] => ["", "/master"].flatMap((at) => [`${at}/${name}`, `${at}/${name}/`]);
  const [quota, weights, ofRole] = [named("quota"), named("weights"), ["/quota/:role{.+}", "/master/quota/:role{.+}"]];
  for (const path of [...quota, ...weights, ...ofRole]) app.use(path, needs("mesos-master-readwrite"));

  for (const path of quota) {
    app.get(path, show({ type: "quota" }));
    app.post(path, async (context) => {
      const body = await bodyOf(context, quotaRequestSchema);
      if (body instanceof Response) return body;
      const { role = "", guarantee, force = false } = body;
      const by = context.get("principal");
      return change(context.get("plane"), (master) => master.updateQuota({ type: "set", role, guarantee, force }, by));
    });
    app.delete(path, (context) =>
      behindLeadership(context.get("plane"), plainText(400, "Expecting a role: DELETE /quota/<role>")),
    );
    app.all(path, refuseMethod("GET", "POST", "DELETE"));
  }
  for (const path of ofRole) {
    app.delete(path, (context) => {
      const refused = refuseOtherPages(context);
      if (refused !== undefined) return behindLeadership(context.get("plane"), refused);
      const role = (context.req.param("role") ?? "").replace(/\/$/, "");
      const by = context.get("principal");
      return change(context.get("plane"), (master) => master.updateQuota({ type: "remove", role }, by));
    });
    app.all(path, refuseMethod("DELETE"));
  }
  for (const path of weights) {
    app.get(path, show({ type: "weights" }));
    app.put(path, async (context) => {
      const infos = await bodyOf(context, weightInfosSchema);
      if (infos instanceof Response) return infos;
      const by = context.get("principal");
      return change(context.get("plane"), (master) => master.updateWeights(infos, by));
    });
    app.all(path, refuseMethod("GET", "PUT"));
  }
  return app;
}

const refuseMethod =
  (...methods: readonly string[]) =>
  (context: Handled) => {
    const expected = methods.map((method) => `'${method}'`).join(", ");
    const reason = `Expecting one of { ${expected} }, but received '${context.req.method}'`;
    return behindLeadership(context.get("plane"), plainText(405, reason, { allow: methods.join(", ") }));
  };

const show = (view: View) => async (context: Handled) => {
  const answer = await context.get("plane").leader.read((master) => master.view(view, reachedAt(context.req.url)));
  return "json" in answer ? json(context, answer.json) : refuseNotLeading(context, answer);
};

async function bodyOf<const S extends v.GenericSchema>(
  context: Handled,
  schema: S,
): Promise<v.InferOutput<S> | Response> {
  const refuse = (status: number, reason: string) => behindLeadership(context.get("plane"), plainText(status, reason));
  const foreign = refuseOtherPages(context);
  if (foreign !== undefined) return behindLeadership(context.get("plane"), foreign);
  const body = await readBody(context.req.raw, BODY_BYTES_MAX);
  if (body.type === "too-long") return refuse(413, `the body may have at most ${BODY_BYTES_MAX} bytes`);
  if (body.type === "not-utf8") return refuse(400, "the body is not UTF-8");
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), body.text, { abortEarly: true });
  return parsed.success ? parsed.output : refuse(400, `Failed to parse the body: ${describeIssue(parsed.issues)}`);
}

/**
 * Mesos looks at no Content-Type here, and curl names that of a form. So another page in an operator's browser could send it with the
 * credentials that the browser remembers; but the browser says whose page it is.
 */
function refuseOtherPages(context: Handled): Response | undefined {
  const origin = context.req.header("origin");
  if (origin === undefined) return undefined;
  const from = URL.canParse(origin) ? new URL(origin).host : undefined;
  return from === new URL(context.req.url).host
    ? undefined
    : plainText(403, "a page of another origin may not do this");
}
