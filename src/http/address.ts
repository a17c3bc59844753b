/** Where a client reached the plane, always `host:port`: clients read both from it and put them into their own URL. */
export function reachedAt(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? (protocol === "https:" ? "443" : "80") : port}`;
}

/** `host:port` of the plane itself: all candidates are behind it. `configured` is ADVERTISE, empty when it was not set. */
export const advertised = (configured: string | undefined, url: string): string =>
  configured === undefined || configured === "" ? reachedAt(url) : configured;
