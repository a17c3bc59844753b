/** One line of the plane's log: what happened, and its details as JSON. */
export function note(message: string, details: Readonly<Record<string, unknown>>): void {
  console.warn(JSON.stringify({ message, ...details }));
}
