// `mesoflare credential new`: who may talk to a deployed plane. The verifiers file is what the plane gets as CREDENTIALS.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { Option, type Command } from "commander";
import * as v from "valibot";
import {
  contextSchema,
  credentialSchema,
  formatVerifiers,
  parseVerifiers,
  PRINCIPALS_MAX,
  ROLES,
  type CredentialRole,
  type Verifiers,
} from "#protocol/credentials.ts";
import { describeIssue } from "#protocol/json.ts";
import { makeCredential, toJsonFile, withVerifier, writePrivate } from "../credentials.ts";
import { EXIT_CODES_HELP } from "../exit-codes.ts";
import { Failure, reasonOf } from "../failure.ts";

interface NewOptions {
  readonly role: CredentialRole;
  readonly verifiers: string;
  readonly out: string;
  readonly plane?: string;
  readonly force?: boolean;
}

export function addCredential(program: Command): void {
  const credential = program
    .command("credential")
    .description("Makes credentials for a deployed plane.")
    .addHelpText("after", EXIT_CODES_HELP);
  credential
    .command("new")
    .summary("make a principal's credential")
    .description(
      "Makes a random secret for a principal, writes it to a file that only you can read, and adds its verifier to the " +
        "verifiers file. A principal that is there already gets a new secret, and its old one ends with the next upload.",
    )
    .argument("<principal>", "name of the principal: letters, digits, '.', '_', '@', '-'")
    .addOption(new Option("--role <role>", "what the principal may do").choices(ROLES).makeOptionMandatory())
    .requiredOption("--verifiers <file>", "the plane's verifiers; made when it is not there")
    .requiredOption("--out <file>", "where the credential goes")
    .option("--plane <url>", "write a context for the command line instead of a bare credential")
    .option("--force", "overwrite the file that --out names")
    .addHelpText("after", EXIT_CODES_HELP)
    .action(async (principal: string, options: NewOptions) => {
      await newCredential(principal, options);
    });
}

async function newCredential(name: string, { role, verifiers: path, out, plane, force }: NewOptions): Promise<void> {
  if (existsSync(out) && force !== true) throw new Failure(`${out} is there already; --force overwrites it`);
  const known = await readVerifiers(path);
  const principal = parse(credentialSchema.entries.principal, name);
  const { secret, verifier } = await makeCredential(principal, role);
  const all = withVerifier(known.principals, verifier);
  if (all.length > PRINCIPALS_MAX) throw new Failure(`a plane takes at most ${PRINCIPALS_MAX} principals`);
  const content =
    plane === undefined
      ? parse(credentialSchema, { principal, secret })
      : parse(contextSchema, { plane, principal, secret });
  // The secret first: a verifier whose secret is lost would have to be replaced by hand.
  await writePrivate(out, toJsonFile(content));
  await writePrivate(path, `${formatVerifiers(all)}\n`);
  process.stdout.write(
    `${out}: ${plane === undefined ? "credential" : "context"} of ${principal} (${role}), readable by you only\n` +
      `${path}: verifiers of ${all.map((one) => one.principal).join(", ")}\n` +
      `next, give the plane its verifiers: npx wrangler secret put CREDENTIALS < ${path}\n`,
  );
}

async function readVerifiers(path: string): Promise<Verifiers> {
  if (!existsSync(path)) return { principals: [] };
  try {
    return parseVerifiers(await readFile(path, "utf8"));
  } catch (error) {
    throw new Failure(`${path} holds no verifiers: ${reasonOf(error)}`);
  }
}

function parse<const S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (!result.success) throw new Failure(describeIssue(result.issues));
  return result.output;
}
