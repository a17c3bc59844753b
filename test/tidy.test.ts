// What no compiler or linter of ours sees: imports that go the wrong way, the platform in pure folders, and the small
// rules that keep the code findable. Each rule names the file and line that breaks it.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Tracked files and new ones that are not ignored, as paths from the root. */
const FILES = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));
const TYPESCRIPT = FILES.filter((path) => path.endsWith(".ts"));

/** Type-checked without any platform; time, randomness and fresh ids come as arguments. */
const PURE = ["base", "protocol", "resources", "log", "registrar", "master", "agent", "metrics"].map(
  (name) => `src/${name}/`,
);

/** Who may import whom. A folder that is not listed may import anything; its own files always may. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/base": [],
  "src/protocol": ["src/base", "@bufbuild/protobuf", "valibot"],
  "src/resources": ["src/base", "src/protocol"],
  "src/log": ["src/base"],
  // valibot: what it reads back from the log it wrote in another release.
  "src/registrar": ["src/base", "src/protocol", "src/resources", "src/log", "valibot"],
  "src/master": ["src/base", "src/protocol", "src/resources", "src/registrar"],
  "src/agent": ["src/base", "src/protocol"],
  "src/scheduler": ["src/base", "src/protocol"],
  "src/metrics": ["src/base"],
  // Of the objects, the log and the master only types: see the separate rule below.
  "src/http": [
    "src/base",
    "src/protocol",
    "src/metrics",
    "src/log",
    "src/registrar",
    "src/master",
    "src/durable-objects",
    "hono",
    "valibot",
  ],
  "src/durable-objects": [...PURE.map((folder) => folder.slice(0, -1)), "cloudflare:workers", "valibot"],
  "agent-node": [
    "src/base",
    "src/protocol",
    "src/resources",
    "src/metrics",
    "node:",
    "commander",
    "pino",
    "ws",
    "valibot",
  ],
  // What somebody may use who has installed the package.
  examples: ["mesoflare/scheduler", "node:"],
  cli: ["src/base", "src/protocol", "src/scheduler", "node:", "commander", "miniflare", "valibot"],
};

interface Line {
  readonly path: string;
  readonly number: number;
  /** Without comments and string contents. */
  readonly code: string;
  readonly text: string;
}

/** Blanks what is no code but keeps lines and columns: comments, and the insides of strings. Rough, and enough. */
function stripped(source: string): string {
  const blank = (text: string): string => text.replace(/[^\n]/g, " ");
  return source.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g,
    (match) => (match.startsWith("`") ? match.replace(/[^\n`${}()\w.]/g, " ") : blank(match)),
  );
}

const cache = new Map<string, readonly Line[]>();
function linesOf(path: string): readonly Line[] {
  let lines = cache.get(path);
  if (lines === undefined) {
    const source = readFileSync(join(ROOT, path), "utf8");
    const code = stripped(source).split("\n");
    lines = source.split("\n").map((text, i) => ({ path, number: i + 1, text, code: code[i] ?? "" }));
    cache.set(path, lines);
  }
  return lines;
}

/** Places where `pattern` occurs in code, as `path:line: text`. */
function places(paths: readonly string[], pattern: RegExp): readonly string[] {
  return paths
    .flatMap(linesOf)
    .filter(({ code }) => pattern.test(code))
    .map(({ path, number, text }) => `${path}:${number}: ${text.trim()}`);
}

interface Import {
  readonly from: string;
  /** A path from the root, or a package's or platform module's name. */
  readonly target: string;
  readonly isType: boolean;
}

function importsOf(path: string): readonly Import[] {
  const source = readFileSync(join(ROOT, path), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/[^\n]*/gm, "");
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^"'`;]*?\sfrom\s+)?"([^"]+)"|import\(\s*"([^"]+)"\s*\)/g;
  return [...source.matchAll(pattern)].map((match) => ({
    from: path,
    target: resolved(path, match[2] ?? match[3] ?? ""),
    isType: match[1] !== undefined,
  }));
}

function resolved(from: string, specifier: string): string {
  if (specifier.startsWith(".")) return relative(ROOT, join(ROOT, dirname(from), specifier));
  if (specifier.startsWith("#")) return `src/${specifier.slice(1)}`;
  return specifier;
}

const isWithin = (path: string, allowed: string): boolean =>
  path === allowed || path.startsWith(`${allowed}/`) || (allowed.endsWith(":") && path.startsWith(allowed));

test("files are there to be checked", () => {
  expect(TYPESCRIPT.length).toBeGreaterThan(50);
});

test("pure folders use neither clock nor chance nor platform", () => {
  const pure = TYPESCRIPT.filter((path) => PURE.some((folder) => path.startsWith(folder)));
  const platform =
    /\bDate\.now\b|\bnew Date\b|\bMath\.random\b|\bperformance\.|\bglobalThis\b|\b(?:setTimeout|setInterval|queueMicrotask|fetch)\(|\bconsole\.|\bprocess\.|(?<![.\w])crypto\.(?:subtle|randomUUID|getRandomValues)/;
  expect(places(pure, platform)).toEqual([]);
});

test("the scheduler library keeps to web standards", () => {
  const imports = TYPESCRIPT.filter((path) => path.startsWith("src/scheduler/")).flatMap(importsOf);
  expect(imports.filter(({ target }) => target.startsWith("node:"))).toEqual([]);
});

test.each(Object.entries(MAY_IMPORT))("%s imports only what it may", (folder, allowed) => {
  const imports = TYPESCRIPT.filter((path) => path.startsWith(`${folder}/`)).flatMap(importsOf);
  const wrong = imports.filter(({ target }) => ![folder, ...allowed].some((one) => isWithin(target, one)));
  expect(wrong.map(({ from, target }) => `${from} imports ${target}`)).toEqual([]);
});

test("routes know the objects as types only", () => {
  const imports = TYPESCRIPT.filter((path) => path.startsWith("src/http/")).flatMap(importsOf);
  const wrong = imports.filter(
    ({ target, isType }) =>
      !isType && ["src/durable-objects", "src/log", "src/master"].some((folder) => isWithin(target, folder)),
  );
  expect(wrong.map(({ from, target }) => `${from} imports ${target}`)).toEqual([]);
});

test("nothing that ships imports tests, and nothing outside src imports the Worker", () => {
  const shipped = TYPESCRIPT.filter((path) => /^(src|agent-node|cli)\//.test(path)).flatMap(importsOf);
  expect(shipped.filter(({ target }) => isWithin(target, "test")).map(({ from }) => from)).toEqual([]);
});

test("no enum, any or non-null assertion", () => {
  expect(places(TYPESCRIPT, /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s/)).toEqual([]);
  expect(places(TYPESCRIPT, /(?::|\bas|<|,|\|)\s*any\b(?!\s*\()/)).toEqual([]);
  expect(places(TYPESCRIPT, /[\w)\]]!(?=[.;,)\]\s[])(?!=)/)).toEqual([]);
});

test("every file is named for its idea", () => {
  const vague = FILES.filter((path) => /^(?:utils?|helpers?|common|misc|types|shared)\.[jt]s$/.test(basename(path)));
  expect(vague).toEqual([]);
  expect(TYPESCRIPT.filter((path) => !/^[a-z0-9]+(?:[-.][a-z0-9]+)*\.ts$/.test(basename(path)))).toEqual([]);
});

/** Entries that others import by a public name; they gather on purpose. */
const PUBLIC_ENTRIES = new Set(["src/index.ts", "src/scheduler/index.ts"]);

test("no barrel files", () => {
  const isBarrel = (path: string): boolean => {
    const code = linesOf(path)
      .map((line) => line.text)
      .join("\n")
      .replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "")
      .trim();
    return (
      code !== "" &&
      code.replace(/export\s+(?:type\s+)?(?:\*|\{[^}]*\})(?:\s+as\s+\w+)?\s+from\s+"[^"]+";?/g, "").trim() === ""
    );
  };
  expect(TYPESCRIPT.filter((path) => !PUBLIC_ENTRIES.has(path) && isBarrel(path))).toEqual([]);
});

test("every core folder has its numbered rules, no rule id is used twice, and each has a test of its name", () => {
  const tests = FILES.filter((path) => path.startsWith("test/") && path.endsWith(".ts"))
    .map((path) => readFileSync(join(ROOT, path), "utf8"))
    .join("\n");
  const all: string[] = [];
  for (const folder of ["src/log", "src/registrar", "src/master", "src/agent", "agent-node"]) {
    const path = join(ROOT, folder, "SPEC.md");
    expect(existsSync(path), `${folder}/SPEC.md`).toBe(true);
    const ids = [...readFileSync(path, "utf8").matchAll(/^[\s|*-]*\**\[?([LRMGA]\d+)\]?\b/gm)].flatMap(
      ([, id]) => id ?? [],
    );
    expect(ids.length, `rules in ${folder}/SPEC.md`).toBeGreaterThan(0);
    all.push(...ids);
  }
  expect(
    all.filter((id, i) => all.indexOf(id) !== i),
    "rules given twice",
  ).toEqual([]);
  expect(
    all.filter((id) => !tests.includes(`[${id}]`)),
    "rules without a test that is named for them",
  ).toEqual([]);
});

test("no path of one machine, and no private registry", () => {
  const texts = FILES.filter(
    (path) => /\.(?:ts|js|json|md|toml|service|yml)$|^\.|^LICENSE$/.test(path) && path !== "test/tidy.test.ts",
  );
  const machine = /(?<![\w.:-])\/(?:work|root|Users)\/|\/home\/(?!<|\$|USER|user\b)\w/;
  const found = texts.flatMap((path) =>
    linesOf(path)
      .filter(({ text }) => machine.test(text))
      .map(({ number, text }) => `${path}:${number}: ${text.trim().slice(0, 100)}`),
  );
  expect(found).toEqual([]);
  const registries = linesOf("package-lock.json").filter(({ text }) =>
    /"resolved": "(?!https:\/\/registry\.npmjs\.org\/)/.test(text),
  );
  expect(registries.length, "package-lock.json names another registry").toBe(0);
});

test("every module under src, agent-node and cli is imported by something, or is an entry", () => {
  const entries = new Set([...PUBLIC_ENTRIES, "agent-node/main.ts", "cli/main.ts", "cli/start/plane-host.ts"]);
  const imported = new Set(TYPESCRIPT.flatMap(importsOf).map(({ target }) => target));
  const orphans = TYPESCRIPT.filter(
    (path) => /^(src|agent-node|cli)\//.test(path) && !entries.has(path) && !imported.has(path),
  );
  expect(orphans).toEqual([]);
});
