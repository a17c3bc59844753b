// The rules of tasks-offers-and-operators §4.3 for RESERVE, UNRESERVE, CREATE, DESTROY, GROW and SHRINK.
import { describe, expect, test } from "vitest";
import type { ResourceOperation } from "#protocol/agent.ts";
import type { Resource } from "#protocol/resource.ts";
import { fromResources } from "#resources/resources.ts";
import { checkOperation, type OperationContext } from "../../src/master/operation-checks.ts";

const resource = (name: string, value: number, more: Partial<Resource> = {}): Resource => ({
  name,
  type: "SCALAR",
  scalar: { value },
  ...more,
});
const layer = (role: string, principal = "ops") => ({ type: "DYNAMIC" as const, role, principal });
const reserved = (name: string, value: number, ...roles: string[]) =>
  resource(name, value, { reservations: roles.map((role) => layer(role)) });
const volume = (id: string, value: number, more: Partial<Resource> = {}): Resource => ({
  ...reserved("disk", value, "web"),
  disk: { persistence: { id, principal: "ops" }, volume: { mode: "RW", container_path: "data" } },
  ...more,
});
const mount = { disk: { source: { type: "MOUNT" as const, mount: { root: "/mnt" } } } };

const has = [
  resource("cpus", 4),
  resource("disk", 100),
  reserved("disk", 50, "web"),
  volume("v1", 20),
  resource("cpus", 1, { reservations: [{ type: "STATIC", role: "web" }] }),
];
const context = (more: Partial<OperationContext> = {}): OperationContext => ({
  principal: "ops",
  role: "web",
  agentCapabilities: ["OPERATIONS"],
  total: fromResources(has),
  remaining: fromResources(has),
  isVolumeInUse: () => false,
  ...more,
});

test.each<[string, ResourceOperation]>([
  ["reserve", { type: "RESERVE", resources: [reserved("cpus", 1, "web")] }],
  ["unreserve", { type: "UNRESERVE", resources: [reserved("disk", 10, "web")] }],
  ["create", { type: "CREATE", volumes: [volume("v2", 10)] }],
  ["destroy", { type: "DESTROY", volumes: [volume("v1", 20)] }],
  ["grow", { type: "GROW_VOLUME", volume: volume("v1", 20), addition: reserved("disk", 5, "web") }],
  ["shrink", { type: "SHRINK_VOLUME", volume: volume("v1", 20), subtractMb: 5 }],
])("[M66] %s is applied when it may be", (_, operation) => {
  expect(checkOperation(operation, context()).type).toBe("valid");
});

describe("[M66] refused", () => {
  test.each<[string, ResourceOperation, RegExp, Partial<OperationContext>?]>([
    [
      "an older agent",
      { type: "RESERVE", resources: [reserved("cpus", 1, "web")] },
      /release/,
      { agentCapabilities: [] },
    ],
    ["nothing at all", { type: "RESERVE", resources: [] }, /no resources/],
    ["a reservation for nobody", { type: "RESERVE", resources: [resource("cpus", 1)] }, /for whom/],
    ["a reservation to *", { type: "RESERVE", resources: [reserved("cpus", 1, "*")] }, /without a role|'\*'/],
    ["a bad role", { type: "RESERVE", resources: [reserved("cpus", 1, "-x")] }, /not a valid role/],
    ["another role than offered", { type: "RESERVE", resources: [reserved("cpus", 1, "ads")] }, /offers are of 'web'/],
    [
      "somebody else's name",
      { type: "RESERVE", resources: [resource("cpus", 1, { reservations: [layer("web", "eve")] })] },
      /'eve'/,
    ],
    [
      "a static reservation",
      { type: "RESERVE", resources: [resource("cpus", 1, { reservations: [{ type: "STATIC", role: "web" }] })] },
      /only a dynamic/,
    ],
    ["more than is left", { type: "RESERVE", resources: [reserved("cpus", 5, "web")] }, /not among the resources/],
    ["what is not reserved", { type: "UNRESERVE", resources: [resource("cpus", 1)] }, /not reserved/],
    [
      "a static reservation taken off",
      { type: "UNRESERVE", resources: [resource("cpus", 1, { reservations: [{ type: "STATIC", role: "web" }] })] },
      /agent's own/,
    ],
    ["what a volume is on", { type: "UNRESERVE", resources: [volume("v1", 20)] }, /destroy that first/],
    ["no volume", { type: "CREATE", volumes: [reserved("disk", 1, "web")] }, /no persistent volume/],
    ["an id that is there", { type: "CREATE", volumes: [volume("v1", 1)] }, /already/],
    ["an id twice", { type: "CREATE", volumes: [volume("v2", 1), volume("v2", 2)] }, /twice/],
    ["a shared volume", { type: "CREATE", volumes: [volume("v2", 1, { shared: {} })] }, /not supported/],
    ["an unreserved volume", { type: "CREATE", volumes: [{ ...volume("v2", 1), reservations: [] }] }, /reservation/],
    ["a volume that is not there", { type: "DESTROY", volumes: [volume("v9", 1)] }, /no such/],
    ["half a volume", { type: "DESTROY", volumes: [volume("v1", 10)] }, /no such/],
    [
      "a volume in use",
      { type: "DESTROY", volumes: [volume("v1", 20)] },
      /uses the volume/,
      { isVolumeInUse: () => true },
    ],
    [
      "growth by another role's disk",
      { type: "GROW_VOLUME", volume: volume("v1", 20), addition: reserved("disk", 1, "web", "web/a") },
      /another role/,
    ],
    [
      "growth by a volume",
      { type: "GROW_VOLUME", volume: volume("v1", 20), addition: volume("v2", 1) },
      /without a volume/,
    ],
    ["shrinking by nothing", { type: "SHRINK_VOLUME", volume: volume("v1", 20), subtractMb: 0 }, /above 0/],
    ["shrinking by NaN", { type: "SHRINK_VOLUME", volume: volume("v1", 20), subtractMb: Number.NaN }, /above 0/],
    ["shrinking to nothing", { type: "SHRINK_VOLUME", volume: volume("v1", 20), subtractMb: 20 }, /destroy it/],
    [
      "shrinking a mount",
      {
        type: "SHRINK_VOLUME",
        volume: volume("v1", 20, { disk: { ...volume("v1", 20).disk, ...mount.disk } }),
        subtractMb: 1,
      },
      /mount cannot shrink/,
    ],
    [
      "what is allocated otherwise",
      { type: "RESERVE", resources: [{ ...reserved("cpus", 1, "web"), allocation_info: { role: "ads" } }] },
      /allocated to role 'ads'/,
    ],
  ])("%s", (_, operation, message, more) => {
    const checked = checkOperation(operation, context(more));
    expect(checked).toMatchObject({ type: "invalid", message: expect.stringMatching(message) as string });
  });
});

test("[M66] an operator has no role: he reserves to any", () => {
  const operation: ResourceOperation = { type: "RESERVE", resources: [reserved("cpus", 1, "ads")] };
  expect(checkOperation(operation, context({ role: undefined })).type).toBe("valid");
});
