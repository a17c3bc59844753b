import { expect, test } from "vitest";
import { initialise, register, TestSocket } from "./plane.ts";

test("[G10] while nobody leads a registration waits on its socket; it completes when somebody does", async () => {
  const socket = await TestSocket.open();
  await socket.authenticate();
  await socket.next("authenticated");
  socket.send(register());
  expect((await socket.next("unavailable")).reason).toContain("mesoflare init");
  await initialise();
  socket.send(register());
  expect((await socket.next("registered")).epoch).toBeGreaterThan(0);
  socket.close();
});
