import { expect, test } from "vitest";
import { lineFilter } from "../../cli/start/plane-log.ts";

test("a client that leaves is no news, with its stack; everything else is", () => {
  const wanted = lineFilter();
  const lines = [
    '{"message":"leading"}',
    "workerd/server/server.c++:6090: error: kj/async-io-unix.c++:186: disconnected: ::write(fd, buffer.begin(), buffer.size()): Broken pipe",
    "stack: /some/workerd@1 /some/workerd@2",
    "workerd/server/server.c++:1: error: something else broke",
    "stack: /some/workerd@3",
  ];
  expect(lines.filter(wanted)).toEqual([lines[0], lines[3], lines[4]]);
});
