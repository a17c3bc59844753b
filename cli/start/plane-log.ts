// What of workerd's own output reaches plane.log, each line with its time. A client that leaves makes workerd print a broken
// pipe with a stack: that is routine, and would bury what matters.
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";

const CLIENT_LEFT = /disconnected: .*(?:Broken pipe|Connection reset by peer)/;

/** Chooses lines one after the other: a stack goes with the line before it. */
export function lineFilter(): (line: string) => boolean {
  let dropped = false;
  return (line) => {
    if (line.startsWith("stack: ")) return !dropped;
    dropped = CLIENT_LEFT.test(line);
    return !dropped && line !== "";
  };
}

export function writePlaneLog(output: Readable, write: (text: string) => void, now: () => Date): void {
  const wanted = lineFilter();
  createInterface({ input: output }).on("line", (line) => {
    if (wanted(line)) write(`${now().toISOString()} ${line}\n`);
  });
}
