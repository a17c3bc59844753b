// Where a framework's calls go: which of a plane's addresses is tried next, and which redirects are followed.
//
// A call carries the framework's credentials, and its commands. So it goes to hosts that whoever runs the plane has named
// to us, and to no other: a `Location` may choose among these hosts, with any port, and never the scheme. A plane on
// https is not left for http, whatever anybody answers.

const PATH = "/api/v1/scheduler";

export interface Addresses {
  /** At least one. */
  readonly known: readonly URL[];
  readonly current: URL;
}

/** Of every URL only scheme, host and port count. */
export function addressesOf(plane: string, masters: readonly string[]): Addresses {
  const first = new URL(PATH, plane);
  return { known: [first, ...masters.map((master) => new URL(PATH, master))], current: first };
}

/**
 * Goes where a 307 points. Mesos' `Location` is `//host:port/path` (http-api-v1 §4): host and port count. Undefined when
 * that is no address, or a host that is not among the known ones.
 */
export function followed(addresses: Addresses, location: string | null): Addresses | undefined {
  if (location === null || !URL.canParse(location, addresses.current)) return undefined;
  const target = new URL(location, addresses.current);
  const known = addresses.known.find(({ hostname }) => hostname === target.hostname);
  if (known === undefined) return undefined;
  const current = new URL(known);
  current.port = target.port;
  return { ...addresses, current };
}

/** The next known address after the current one, round and round; a current one that was not known leads back to the first. */
export function another(addresses: Addresses): Addresses {
  const { known, current } = addresses;
  const at = known.findIndex(({ href }) => href === current.href);
  return { known, current: known[(at + 1) % known.length] ?? current };
}
