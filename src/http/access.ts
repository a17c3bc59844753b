// Who asks: HTTP Basic, or a bearer token that is base64 of the same `principal:secret`. Anything unusual is 401, never 400.
import type { Context, MiddlewareHandler } from "hono";
import type { CredentialRole } from "#protocol/credentials.ts";
import type { Principal } from "#protocol/ids.ts";
import type { HttpEnv } from "./http-env.ts";
import { answerElsewhere } from "./masters.ts";

/** Mesos' realms: what a request needs. */
export type Realm = "mesos-master-readonly" | "mesos-master-readwrite" | "mesos-master-scheduler";

const ALLOWED: Readonly<Record<Realm, ReadonlySet<CredentialRole>>> = {
  "mesos-master-readonly": new Set(["read-only", "framework", "operator"]),
  "mesos-master-readwrite": new Set(["operator"]),
  "mesos-master-scheduler": new Set(["framework", "operator"]),
};

/** Longest Authorization header that is looked at. */
const HEADER_LENGTH_MAX = 8192;

/** `ofAnyCandidate`: one that does not lead answers as well. Otherwise, where a path names a candidate, that is looked at first. */
export function needs(realm: Realm, { ofAnyCandidate = false } = {}): MiddlewareHandler<HttpEnv> {
  return async (context, next) => {
    const refused = await refusal(context, realm);
    if (refused !== undefined) return refused;
    return (ofAnyCandidate ? undefined : await answerElsewhere(context)) ?? next();
  };
}

async function refusal(context: Context<HttpEnv>, realm: Realm): Promise<Response | undefined> {
  if (realm === "mesos-master-readonly" && context.env.AUTHENTICATE_HTTP_READONLY === "false") return undefined;
  const asked = await principalOf(context);
  if (asked === undefined) return unauthorized(context, realm);
  if (!ALLOWED[realm].has(asked.role)) {
    return context.text(`'${asked.principal}' has the role '${asked.role}', which may not do this\n`, 403);
  }
  context.set("principal", asked.principal);
  return undefined;
}

function unauthorized(context: Context<HttpEnv>, realm: Realm): Response {
  return context.text("This request needs the credentials of a principal of this plane.\n", 401, {
    "www-authenticate": `Basic realm="${realm}"`,
  });
}

async function principalOf(
  context: Context<HttpEnv>,
): Promise<{ principal: Principal; role: CredentialRole } | undefined> {
  const header = context.req.header("authorization") ?? "";
  const match = header.length > HEADER_LENGTH_MAX ? null : /^(?:Basic|Bearer) ([A-Za-z0-9+/]+={0,2})$/.exec(header);
  const pair = decodePair(match?.[1]);
  if (pair === undefined) return undefined;
  const verifier = await context.get("plane").authenticate(pair.principal, pair.secret);
  return verifier === undefined ? undefined : { principal: verifier.principal, role: verifier.role };
}

/** Exactly one colon, as Mesos has it: a secret with a colon never gets in. */
function decodePair(encoded: string | undefined): { readonly principal: string; readonly secret: string } | undefined {
  if (encoded === undefined) return undefined;
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0)),
    );
  } catch {
    return undefined;
  }
  const parts = text.split(":");
  return parts.length === 2 ? { principal: parts[0] ?? "", secret: parts[1] ?? "" } : undefined;
}
