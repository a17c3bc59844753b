import { afterEach, expect, test } from "vitest";
import { SchedulerClient, staySubscribed, type ClientOptions } from "#scheduler/index.ts";
import { addressesOf, another, followed } from "../../src/scheduler/addresses.ts";
import { HttpPlane } from "./http-plane.ts";

const PATH = "/api/v1/scheduler";

test.each([
  ["another port of the same host", "//m1.example:5051/master/api/v1/scheduler", `https://m1.example:5051${PATH}`],
  ["the usual port", "//m1.example/", `https://m1.example${PATH}`],
  ["another master that was named", "//m2.example:5050/", `https://m2.example:5050${PATH}`],
  [
    "an absolute address, of which the scheme does not count",
    "http://m1.example:5051/",
    `https://m1.example:5051${PATH}`,
  ],
  ["a host that was not named", "//evil.example/", undefined],
  ["a host that looks alike", "//m1.example.evil.example/", undefined],
  ["a host behind a user name", "//m1.example@evil.example/", undefined],
  ["no address", "http://", undefined],
  ["nothing", null, undefined],
])("a redirect to %s", (_, location, expected) => {
  const addresses = addressesOf("https://m1.example:5050/some/path", ["https://m2.example"]);
  expect(followed(addresses, location)?.current.href).toBe(expected);
});

test("addresses are tried round and round, and from a redirect back to the first", () => {
  const first = addressesOf("http://a:1", ["http://b:2"]);
  const second = another(first);
  expect([second.current.host, another(second).current.host]).toEqual(["b:2", "a:1"]);
  const redirected = followed(first, "//b:3");
  expect(redirected && another(redirected).current.host).toBe("a:1");
});

const planes: HttpPlane[] = [];
afterEach(() => {
  for (const plane of planes.splice(0)) plane.close();
});

async function startPlane(): Promise<HttpPlane> {
  const plane = new HttpPlane();
  planes.push(plane);
  await plane.listen();
  return plane;
}

const framework = { user: "nobody", name: "test" };
function subscribe(options: Omit<ClientOptions, "credential">) {
  const client = new SchedulerClient({ ...options, credential: { principal: "p", secret: "s" } });
  const events = staySubscribed(client, framework, { bounds: { firstMs: 1, maxMs: 1 } });
  return { client, first: events.next() };
}

test("a redirect to a named master is followed with the credential, and calls go there too", async () => {
  const [follower, leader] = [await startPlane(), await startPlane()];
  follower.answer = () => ({ status: 307, headers: { Location: `//127.0.0.1:${leader.port}/master${PATH}` } });
  const { client, first } = subscribe({ plane: follower.url });
  expect((await first).value?.type).toBe("SUBSCRIBED");
  await client.teardown();
  expect(leader.received.map(({ type }) => type)).toEqual(["SUBSCRIBE", "TEARDOWN"]);
  expect(leader.received[0]?.authorization).toBe(`Basic ${btoa("p:s")}`);
  expect(follower.received).toHaveLength(1);
});

test("nothing is sent to a host that was not named", async () => {
  const [plane, other] = [await startPlane(), await startPlane()];
  plane.answer = () => ({ status: 307, headers: { Location: `//localhost:${other.port}${PATH}` } });
  const { first } = subscribe({ plane: plane.url });
  await expect(first).rejects.toMatchObject({
    name: "RedirectRefusedError",
    location: `//localhost:${other.port}${PATH}`,
  });
  expect(other.received).toEqual([]);
  const named = subscribe({ plane: plane.url, masters: ["http://localhost:1"] });
  expect((await named.first).value?.type).toBe("SUBSCRIBED");
});

test.each(["none", { status: 503, text: "no leader known" }] as const)(
  "a master that says %j is left for the next one",
  async (answer) => {
    const [first, second] = [await startPlane(), await startPlane()];
    first.answer = () => answer;
    const { first: event } = subscribe({ plane: first.url, masters: [second.url] });
    expect((await event).value?.type).toBe("SUBSCRIBED");
    expect(first.received).toHaveLength(1);
  },
);
