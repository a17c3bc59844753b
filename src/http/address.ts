/** Where a client reached the plane, always `host:port`: clients read both from it and put them into their own URL. */
export function reachedAt(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  return `${hostname}:${port === "" ? (protocol === "https:" ? "443" : "80") : port}`;
}
