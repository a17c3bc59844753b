// `mesoflare log status`: the replicas as a table, then what somebody should know or do.
import { formatTable } from "../table.ts";
import type { LogJson, ReplicaJson } from "./answers.ts";
import { isWhereWished, placeText } from "./place.ts";

/** A warning asks for something to be done or watched; a note is fine as it is. */
export interface Advice {
  readonly level: "warning" | "note";
  readonly text: string;
}

export const quorumOf = (members: number): number => Math.floor(members / 2) + 1;

/** By number: `replica-10` after `replica-9`. */
export function sortedReplicas(names: readonly string[]): readonly string[] {
  return names.toSorted((a, b) => numberOf(a) - numberOf(b));
}
const numberOf = (name: string): number => Number(name.slice(name.lastIndexOf("-") + 1));

export function formatLog(log: LogJson): string {
  const replicas = log.replicas.toSorted((a, b) => numberOf(a.id) - numberOf(b.id));
  const end = endOf(replicas);
  const table = formatTable(
    ["replica", "member", "status", "learned", "end", "lag", "promised", "where"],
    replicas.map((replica) => {
      const learned = learnedOf(replica);
      return [
        replica.id,
        replica.member ? "yes" : "no",
        replica.status,
        String(learned ?? "-"),
        String(replica.end ?? "-"),
        learned === undefined ? "-" : String(Math.max(0, end - learned)),
        promisedText(replica),
        placeText(replica),
      ];
    }),
  );
  const advice = adviceOn(log).map(({ level, text }) => `${level}: ${text}\n`);
  return `${headline(log)}\n${table}${advice.length === 0 ? "" : `\n${advice.join("")}`}`;
}

function headline({ cluster_id, membership, membership_position, replicas }: LogJson): string {
  if (membership === undefined) return "no membership known";
  const votes = `${votersOf(replicas).length} vote, ${quorumOf(membership.length)} are needed`;
  const cluster = cluster_id === undefined ? "no quorum" : `cluster ${cluster_id}`;
  return `${cluster}; ${count(membership.length, "member")} since entry ${membership_position}, ${votes}`;
}

/** Where the log ends, as far as its members say. */
export const endOf = (replicas: readonly ReplicaJson[]): number =>
  Math.max(0, ...replicas.flatMap(({ member, end }) => (member ? (end ?? []) : [])));

/** The last position up to which it knows what is chosen. */
export const learnedOf = ({ missing_from }: ReplicaJson): number | undefined =>
  missing_from === undefined ? undefined : missing_from - 1;

function promisedText({ promised }: ReplicaJson): string {
  if (promised === undefined || promised.counter === 0) return "-";
  return `${promised.counter} of ${promised.candidate}`;
}

const votersOf = (replicas: readonly ReplicaJson[]): readonly ReplicaJson[] =>
  replicas.filter(({ member, status }) => member && status === "voting");

/** What is not as it should be, the worst first, each with what to do. */
export function adviceOn({ replicas: unsorted, membership }: LogJson): readonly Advice[] {
  const replicas = unsorted.toSorted((a, b) => numberOf(a.id) - numberOf(b.id));
  const members = replicas.filter(({ member }) => member);
  if (membership === undefined) {
    return [
      aboutNoMembership(replicas),
      ...members.flatMap((replica) => (replica.status === "unreachable" ? warning(doesNotAnswer(replica)) : [])),
    ];
  }
  const hasQuorum = votersOf(members).length >= quorumOf(members.length);
  return [
    ...(hasQuorum ? [] : [aboutNoQuorum(members)]),
    ...members.flatMap((member) => aboutMember(member, { hasQuorum })),
    ...aboutPlaces(members),
    ...aboutNumber(members),
    ...aboutOutsiders(replicas.filter(({ member }) => !member)),
  ];
}

function aboutNoMembership(replicas: readonly ReplicaJson[]): Advice {
  const begun = replicas.find(({ status }) => status === "starting");
  if (begun !== undefined) {
    const { cluster_id = "<uuid>" } = begun;
    return warning(`'mesoflare init' was interrupted: finish it with 'mesoflare init --cluster-id ${cluster_id}'`);
  }
  if (replicas.every(({ status }) => status === "unreachable"))
    return warning("none of the replicas that REPLICAS stands for answers, and other members are found through them");
  return warning(
    "every replica that answers is empty. Either this plane was never initialised, and 'mesoflare init' does it; or they have " +
      "lost their storage, or this is another account or namespace than the log's. Where the master remembers a log, " +
      "'mesoflare init' makes no second one; see docs/operating-the-log.md",
  );
}

function aboutNoQuorum(members: readonly ReplicaJson[]): Advice {
  const [voters, needed] = [votersOf(members).length, quorumOf(members.length)];
  const lost = members.filter(({ status }) => status === "empty");
  const stands = `no quorum: ${voters} of ${count(members.length, "member")} ${voters === 1 ? "votes" : "vote"}, ${needed} are needed`;
  if (members.length - lost.length < needed) {
    return warning(
      `${stands}, and ${namesOf(lost)} ${lost.length === 1 ? "has" : "have"} lost their storage, so that it does not come back ` +
        "by itself. What was chosen last may be gone; there is no command that goes on without it: see docs/operating-the-log.md",
    );
  }
  return warning(
    `${stands}. Tasks run on, but nothing is admitted, launched or changed until enough members answer again; ` +
      "then the plane goes on by itself",
  );
}

/** Without a quorum no leader seats, repairs or replaces anybody: then only what is the matter. */
function aboutMember(replica: ReplicaJson, { hasQuorum }: { readonly hasQuorum: boolean }): readonly Advice[] {
  const { id, status } = replica;
  const advise = (matter: string, advice: string): readonly Advice[] => [
    warning(hasQuorum ? `${matter}. ${advice}` : matter),
  ];
  switch (status) {
    case "voting":
      return [];
    case "unreachable":
      return advise(
        doesNotAnswer(replica),
        `It takes part again by itself when it does; if it never will, 'mesoflare log replace ${id} <new name>'`,
      );
    case "empty":
      return advise(
        `${id} has lost its storage`,
        "The leader seats it again by itself, usually within a minute; look again then, and if it is still empty, " +
          `'mesoflare log replace ${id} <new name>'`,
      );
    case "recovering":
      return advise(
        `${id} is recovering and does not vote`,
        "The leader brings it up to date, or repairs its damaged records, by itself. Look again in a minute: its lag must fall",
      );
    case "starting":
      return [warning(`${id} has not finished 'mesoflare init': repeat it with the cluster id that it has`)];
  }
}

const doesNotAnswer = ({ id, reason }: ReplicaJson): string =>
  `${id} does not answer${reason === undefined ? "" : ` (${reason})`}`;

function aboutPlaces(members: readonly ReplicaJson[]): readonly Advice[] {
  const colos = new Set(members.flatMap(({ colo }) => colo ?? []));
  const together = [...colos].flatMap((colo): readonly Advice[] => {
    const inside = members.filter((member) => member.colo === colo);
    const last = inside.at(-1);
    if (inside.length < 2 || last === undefined) return [];
    return [
      warning(
        `${namesOf(inside)} are in one data centre, ${colo}: its loss takes ${inside.length} votes. An object never moves: give a ` +
          `new name another place in REPLICA_HINTS, deploy, then 'mesoflare log replace ${last.id} <new name>'`,
      ),
    ];
  });
  const elsewhere = members
    .filter((member) => isWhereWished(member) === false)
    .map(({ id, hint, colo }) => note(`${id} was wished to be in ${hint} and is in ${colo}: a hint is only a wish`));
  return [...together, ...elsewhere];
}

function aboutNumber({ length }: readonly ReplicaJson[]): readonly Advice[] {
  if (length === 1) {
    return [
      warning(
        "the log has one member: with its storage everything is lost. 'mesoflare log add <replica>' twice makes it three",
      ),
    ];
  }
  if (length === 0 || length % 2 === 1) return [];
  return [
    warning(
      `${length} members bear the loss of ${length - quorumOf(length)}, no more than ${length - 1} would: ` +
        "'mesoflare log add <replica>' or 'mesoflare log remove <replica>'",
    ),
  ];
}

function aboutOutsiders(outsiders: readonly ReplicaJson[]): readonly Advice[] {
  if (outsiders.length === 0) return [];
  return [
    note(
      `${namesOf(outsiders)} ${outsiders.length === 1 ? "is no member" : "are no members"}: removed or replaced earlier, or only ` +
        "among the names that REPLICAS stands for. 'mesoflare log add <replica>' gives one a vote",
    ),
  ];
}

const warning = (text: string): Advice => ({ level: "warning", text });
const note = (text: string): Advice => ({ level: "note", text });
const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? "" : "s"}`;

const namesOf = (replicas: readonly ReplicaJson[]): string => replicas.map(({ id }) => id).join(" and ");
