// `mesoflare registry`: the registry and its history as tables for people.
import { formatTable } from "../table.ts";
import type { ChangeJson, EntryJson, ExtentJson, HistoryJson, QuotaJson, RegistryJson } from "./answers.ts";

export function formatRegistry(registry: RegistryJson): string {
  const { agents, frameworks, credentials, weights = [], quotas = [] } = registry;
  const rows = [
    ...agents.admitted.map((agent) => [agent.id, "admitted", agent.hostname, agent.principal, agent.admitted_at]),
    ...agents.unreachable.map((agent) => [
      agent.id,
      "unreachable",
      agent.hostname,
      agent.principal,
      agent.unreachable_at,
    ]),
    ...agents.gone.map((agent) => [agent.id, "gone", agent.hostname, undefined, agent.gone_at]),
  ];
  const away = new Set(frameworks.disconnected.map(({ id }) => id));
  const frameworkRows = [
    ...(frameworks.registered ?? [])
      .filter(({ id }) => !away.has(id))
      .map(({ id, principal }) => [id, "registered", principal, undefined]),
    ...frameworks.disconnected.map(({ id, principal, deadline }) => [id, "disconnected", principal, deadline]),
    ...frameworks.removed.map(({ id, removed_at }) => [id, "removed", undefined, removed_at]),
  ];
  return [
    headline(registry),
    table(["agent", "state", "host", "principal", "since"], rows, "no agents"),
    ...(frameworkRows.length === 0 ? [] : [table(["framework", "state", "principal", "until / since"], frameworkRows)]),
    ...(credentials.length === 0
      ? []
      : [
          table(
            ["principal", "role", "secrets"],
            credentials.map(({ principal, role, verifiers }) => [principal, role, String(verifiers)]),
          ),
        ]),
    ...(weights.length === 0
      ? []
      : [
          table(
            ["role", "weight"],
            weights.map(({ role, weight }) => [role, String(weight)]),
          ),
        ]),
    ...(quotas.length === 0
      ? []
      : [
          table(
            ["role", "guaranteed", "at most"],
            quotas.map(({ role, guarantees, limits }) => [role, amounts(guarantees), amounts(limits)]),
          ),
        ]),
    notes(registry),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function headline({ position, leader, agents, decided_to }: RegistryJson): string {
  const { admitted, unreachable, gone } = agents;
  const counts = [`${admitted.length} admitted`, `${unreachable.length} unreachable`, `${gone.length} gone`].join(", ");
  const age = position === decided_to - 1 ? "the newest" : `of ${decided_to - 1}`;
  const led = leader === undefined ? "nobody has led yet" : `led by ${leader.candidate} since entry ${leader.epoch}`;
  return printable(`after entry ${position}, ${age}; ${led}; agents: ${counts}`) + "\n";
}

export function formatHistory(history: HistoryJson): string {
  const rows = history.entries.flatMap(rowsOf);
  return [table(["entry", "when", "what", "of", "who", "why"], rows, "no changes"), notes(history)]
    .filter((part) => part !== "")
    .join("\n");
}

function rowsOf(entry: EntryJson): readonly (readonly (string | undefined)[])[] {
  const at = String(entry.position);
  switch (entry.type) {
    case "leader": {
      const { candidate, master_id } = entry.leader;
      return [[at, undefined, "leads from here", candidate, undefined, `master id ${master_id}`]];
    }
    case "operations":
      return entry.changes.map((change) => [at, change.when, change.type, objectOf(change), change.who, change.why]);
    case "membership":
      return [[at, undefined, "members of the log", entry.replicas.join(" "), undefined, undefined]];
    case "truncate":
      return [[at, undefined, "history dropped", `before entry ${entry.to}`, undefined, undefined]];
    case "unreadable":
      return [[at, undefined, "cannot be read", undefined, undefined, entry.reason]];
    default:
      // Of a newer plane.
      return [[at, undefined, String((entry as { type: unknown }).type), undefined, undefined, undefined]];
  }
}

/** Ids of one prune, or roles of one update, that a row names. */
const NAMED_MAX = 3;

function objectOf(change: ChangeJson): string {
  const { agents, framework, principal, hostname, role, deadline, weights, quotas } = change;
  if (weights !== undefined)
    return several(
      weights.map((one) => `${one.role} ${one.weight}`),
      ", ",
    );
  if (quotas !== undefined) return several(quotas.map(quotaText), ", ");
  const named = several(agents, " ");
  if (named !== "") return hostname === undefined ? named : `${named} (${hostname})`;
  if (framework !== undefined && deadline !== undefined) return `${framework} until ${deadline}`;
  if (framework !== undefined) return principal === undefined ? framework : `${framework} of ${principal}`;
  return [principal, role].filter((part) => part !== undefined).join(" as ");
}

const several = (names: readonly string[], separator: string): string =>
  names.length > NAMED_MAX
    ? `${names.slice(0, NAMED_MAX).join(separator)} and ${names.length - NAMED_MAX} more`
    : names.join(separator);

const amounts = (of: Readonly<Record<string, number>>): string | undefined => {
  const named = Object.entries(of).map(([name, value]) => `${name}:${value}`);
  return named.length === 0 ? undefined : named.join(";");
};

function quotaText({ role, guarantees, limits }: QuotaJson): string {
  const [floor, ceiling] = [amounts(guarantees), amounts(limits)];
  const bounds = [
    ...(floor === undefined ? [] : [`at least ${floor}`]),
    ...(ceiling === undefined ? [] : [`at most ${ceiling}`]),
  ];
  return `${role} ${bounds.length === 0 ? "without quota" : bounds.join(" ")}`;
}

/** What the reader should know about what he sees. */
function notes({ begin, decided_to, end }: ExtentJson): string {
  const kept = begin === 1 ? "" : `note: history begins at entry ${begin}; what was before is truncated\n`;
  if (end < decided_to) return kept;
  const undecided = decided_to === end ? `entry ${end} is` : `entries ${decided_to} to ${end} are`;
  return `${kept}note: ${undecided} not decided yet, and not shown: a write that is under way, or one that was given up\n`;
}

const table = (headings: readonly string[], rows: readonly (readonly (string | undefined)[])[], none = ""): string =>
  rows.length === 0
    ? `${none}\n`
    : formatTable(
        headings,
        rows.map((row) => row.map((cell) => printable(cell ?? "-"))),
      );

/** Host names and reasons come from agents and their principals: nothing of them may move a terminal's cursor. */
// eslint-disable-next-line no-control-regex
const printable = (text: string): string =>
  text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/g, "\ufffd");
