// The types of `mesoflare/scheduler` for those who install the package: the compiler's declarations, made to stand alone.
//
// Our message types are inferred from schemas. Written out as such, a task is fifteen thousand lines, and too deep for a
// reader's compiler; so the inferred types are spelled out, and the schemas are left out. `#protocol/…` means our sources,
// which the package does not carry: paths become relative.
import { execFile } from "node:child_process";
import { glob, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { API, NodeBuilderFlags, SymbolFlags, type Project } from "typescript/unstable/sync";

const CONFIGURATION = "tsconfig.library.json";
/** Where that writes to, and what it mirrors. */
const TYPES = "dist/types";
const SOURCES = "src";

export async function writeLibraryTypes(): Promise<void> {
  await rm(TYPES, { recursive: true, force: true });
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  await promisify(execFile)(process.execPath, [tsc, "-p", CONFIGURATION]);
  const compiler = new API({ cwd: process.cwd() });
  try {
    const project = compiler.updateSnapshot({ openProjects: [resolve(CONFIGURATION)] }).getProjects()[0];
    if (project === undefined) throw new Error(`no project in ${CONFIGURATION}`);
    for await (const name of glob("**/*.d.ts", { cwd: TYPES })) {
      const path = join(TYPES, name);
      const text = await readFile(path, "utf8");
      const source = join(SOURCES, name.replace(/\.d\.ts$/, ".ts"));
      const plain = text.includes('from "valibot"') ? withoutSchemas(text, spelledOut(project, source)) : text;
      await writeFile(path, withRelativePaths(plain, path));
    }
  } finally {
    compiler.close();
  }
}

/** The exported type aliases of a file, each as the text of its type. */
function spelledOut(project: Project, source: string): ReadonlyMap<string, string> {
  const { checker, emitter, program } = project;
  const file = program.getSourceFile(resolve(source));
  const module = file && checker.getSymbolAtLocation(file);
  if (module === undefined) throw new Error(`${source} is no module of the library`);
  const types = new Map<string, string>();
  for (const symbol of checker.getExportsOfModule(module)) {
    if ((symbol.flags & SymbolFlags.TypeAlias) === 0) continue;
    const flags =
      NodeBuilderFlags.NoTruncation | NodeBuilderFlags.InTypeAlias | NodeBuilderFlags.MultilineObjectLiterals;
    const node = checker.typeToTypeNode(checker.getDeclaredTypeOfSymbol(symbol), file, flags);
    if (node !== undefined) types.set(symbol.name, emitter.printNode(node));
  }
  return types;
}

/** The compiler begins each statement, and each comment on one, at the left margin, and nothing else but closing brackets. */
const STATEMENT = /^(?=(?:export|declare|import|type|interface)\s|\/\*\*|\/\/)/m;

function withoutSchemas(text: string, types: ReadonlyMap<string, string>): string {
  const kept: string[] = [];
  let comment = "";
  for (const statement of text.split(STATEMENT)) {
    if (/^\/[*/]/.test(statement)) {
      comment = statement;
      continue;
    }
    const alias = /^export type (\w+) = .*\bv\./.exec(statement)?.[1];
    const type = alias === undefined ? undefined : types.get(alias);
    if (type !== undefined) kept.push(comment, `export type ${alias} = ${type};\n`);
    else if (!/\bv\.|"valibot"/.test(statement)) kept.push(comment, statement);
    comment = "";
  }
  return [...kept, "export {};\n"].join("");
}

function withRelativePaths(text: string, path: string): string {
  return text.replace(/"(#[^"]+|\.[^"]+)\.ts"/g, (_, module: string) => {
    if (!module.startsWith("#")) return `"${module}.js"`;
    const target = relative(dirname(path), join(TYPES, module.slice(1)));
    return `"${target.startsWith(".") ? target : `./${target}`}.js"`;
  });
}
