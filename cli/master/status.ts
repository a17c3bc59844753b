// `mesoflare master status`: the candidates as a table, then what somebody should know or do.
import { isWhereWished, placeText } from "../log/place.ts";
import { formatTable } from "../table.ts";
import type { FailoverJson, MasterJson, MastersJson } from "./answers.ts";

export function formatMasters(answer: MastersJson): string {
  const table = formatTable(
    ["master", "state", "epoch", "since", "ballot", "confirmed", "where"],
    answer.masters.map((master) => [
      master.name,
      master.state,
      String(master.epoch ?? "-"),
      master.since === undefined ? "-" : timeText(master.since),
      String(master.ballot ?? "-"),
      master.confirmed_at === undefined ? "-" : `${Math.max(0, answer.time - master.confirmed_at).toFixed(1)} s ago`,
      placeText(master),
    ]),
  );
  const advice = adviceOn(answer).map((text) => `${text}\n`);
  return `${headline(answer)}\n${table}${advice.length === 0 ? "" : `\n${advice.join("")}`}`;
}

function headline({ leader, epoch, masters }: MastersJson): string {
  const candidates = `${masters.length} candidate${masters.length === 1 ? "" : "s"}`;
  return leader === undefined ? `no master leads; ${candidates}` : `${leader} leads in epoch ${epoch}; ${candidates}`;
}

/** Seconds are enough for people; `--json` has the rest. */
const timeText = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");

/** What is not as it should be, each with what to do. */
export function adviceOn({ leader, masters }: MastersJson): readonly string[] {
  const away = masters.filter(({ state }) => state === "unreachable");
  return [
    ...(leader === undefined ? [aboutNoLeader(masters)] : []),
    ...away.map(
      ({ name, reason }) =>
        `warning: ${name} does not answer${reason === undefined ? "" : ` (${reason})`}` +
        (leader === undefined ? "" : "; it takes its part again by itself when it does"),
    ),
    ...masters
      .filter((master) => isWhereWished(master) === false)
      .map(
        ({ name, hint, colo }) => `note: ${name} was wished to be in ${hint} and is in ${colo}: a hint is only a wish`,
      ),
  ];
}

function aboutNoLeader(masters: readonly MasterJson[]): string {
  const reason = masters.find((master) => master.state === "follows" && master.reason !== undefined)?.reason;
  const why = reason === undefined ? "no candidate answers" : reason;
  return (
    `warning: no master leads: ${why}. Tasks run on, but nothing is admitted, launched or changed until one does; ` +
    "'mesoflare log status' shows whether the log has its quorum"
  );
}

/** What a failover has led to, for people. */
export function failoverText({ leader, epoch, from }: FailoverJson): string {
  if (from === leader) return `${leader} leads already, in epoch ${epoch}\n`;
  const before = from === undefined ? "" : `, and ${from} no longer`;
  return `${leader} leads in epoch ${epoch}${before}. Agents register again by themselves; schedulers subscribe again and reconcile\n`;
}
