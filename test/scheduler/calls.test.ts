// Every call as the plane reads it: the schemas are the plane's own.
import * as v from "valibot";
import { beforeEach, expect, test } from "vitest";
import { encodeRecord } from "#protocol/record-io.ts";
import { CALL_TYPES, callSchema, type Call } from "#protocol/scheduler.ts";
import {
  asAgentId,
  asExecutorId,
  asTaskId,
  create,
  destroy,
  growVolume,
  launch,
  launchGroup,
  reserve,
  scalar,
  SchedulerClient,
  shrinkVolume,
  unreserve,
  type OfferId,
  type OperationStatus,
  type TaskStatus,
} from "#scheduler/index.ts";
import { statusOf } from "./http-plane.ts";

const agentId = asAgentId("agent-S0");
const executorId = asExecutorId("executor");
const offerIds = ["O1" as OfferId, "O2" as OfferId];
const wrappedIds = [{ value: "O1" }, { value: "O2" }];
const UUID = btoa("0123456789abcdef");
const task = {
  name: "t",
  task_id: { value: asTaskId("t") },
  agent_id: { value: agentId },
  resources: [scalar("cpus", 0.5)],
  command: { value: "true" },
};
const disk = scalar("disk", 10);
const operationStatus: OperationStatus = {
  operation_id: { value: "op" },
  state: "OPERATION_FINISHED",
  converted_resources: [],
  uuid: { value: UUID },
  agent_id: { value: agentId },
};

let sent: Call[];
let client: SchedulerClient;
beforeEach(async () => {
  sent = [];
  const subscribed = {
    type: "SUBSCRIBED",
    subscribed: { framework_id: { value: "f" }, heartbeat_interval_seconds: 15, master_info: {} },
  };
  client = new SchedulerClient({
    plane: "http://plane:5050",
    fetch: async (_, init) => {
      const call = v.parse(callSchema, JSON.parse(init?.body as string));
      sent.push(call);
      if (call.type !== "SUBSCRIBE") return new Response(null, { status: 202 });
      const record = encodeRecord(new TextEncoder().encode(JSON.stringify(subscribed)));
      return new Response(new ReadableStream({ start: (stream) => stream.enqueue(record) }), {
        headers: { "Mesos-Stream-Id": "s" },
      });
    },
  });
});

const CALLS: Readonly<
  Record<
    Exclude<(typeof CALL_TYPES)[number], "SUBSCRIBE" | "UNKNOWN">,
    readonly [make: () => Promise<void>, member: object | undefined]
  >
> = {
  TEARDOWN: [() => client.teardown(), undefined],
  ACCEPT: [
    () =>
      client.accept(
        offerIds,
        [
          reserve([disk]),
          create([disk], "op-create"),
          launch([task]),
          launchGroup({ executor_id: { value: executorId } }, [task]),
          growVolume(disk, disk),
          shrinkVolume(disk, 5),
          destroy([disk]),
          unreserve([disk]),
        ],
        0,
      ),
    {
      accept: {
        offer_ids: wrappedIds,
        filters: { refuse_seconds: 0 },
        operations: [
          { type: "RESERVE", reserve: { resources: [disk] } },
          { type: "CREATE", create: { volumes: [disk] }, id: { value: "op-create" } },
          { type: "LAUNCH", launch: { task_infos: [task] } },
          {
            type: "LAUNCH_GROUP",
            launch_group: { executor: { executor_id: { value: "executor" } }, task_group: { tasks: [task] } },
          },
          { type: "GROW_VOLUME", grow_volume: { volume: disk, addition: disk } },
          { type: "SHRINK_VOLUME", shrink_volume: { volume: disk, subtract: { value: 5 } } },
          { type: "DESTROY", destroy: { volumes: [disk] } },
          { type: "UNRESERVE", unreserve: { resources: [disk] } },
        ],
      },
    },
  ],
  DECLINE: [
    () => client.decline(offerIds, 60),
    { decline: { offer_ids: wrappedIds, filters: { refuse_seconds: 60 } } },
  ],
  REVIVE: [() => client.revive(["prod"]), { revive: { roles: ["prod"] } }],
  SUPPRESS: [() => client.suppress(), { suppress: { roles: [] } }],
  KILL: [
    () => client.kill({ taskId: asTaskId("t"), agentId, gracePeriodNs: 5 }),
    {
      kill: {
        task_id: { value: "t" },
        agent_id: { value: agentId },
        kill_policy: { grace_period: { nanoseconds: 5 } },
      },
    },
  ],
  SHUTDOWN: [
    () => client.shutdown({ executorId, agentId }),
    { shutdown: { executor_id: { value: "executor" }, agent_id: { value: agentId } } },
  ],
  ACKNOWLEDGE: [
    () => client.acknowledge(statusOf("t", "TASK_RUNNING", { uuid: UUID })),
    { acknowledge: { task_id: { value: "t" }, agent_id: { value: agentId }, uuid: UUID } },
  ],
  RECONCILE: [
    () => client.reconcile([{ taskId: asTaskId("t"), agentId }, { taskId: asTaskId("u") }]),
    { reconcile: { tasks: [{ task_id: { value: "t" }, agent_id: { value: agentId } }, { task_id: { value: "u" } }] } },
  ],
  MESSAGE: [
    () => client.message({ executorId, agentId }, new TextEncoder().encode("hello")),
    { message: { executor_id: { value: "executor" }, agent_id: { value: agentId }, data: btoa("hello") } },
  ],
  REQUEST: [
    () => client.request([{ agentId, resources: [disk] }]),
    { request: { requests: [{ agent_id: { value: agentId }, resources: [disk] }] } },
  ],
  ACCEPT_INVERSE_OFFERS: [
    () => client.acceptInverseOffers(offerIds),
    { accept_inverse_offers: { inverse_offer_ids: wrappedIds } },
  ],
  DECLINE_INVERSE_OFFERS: [
    () => client.declineInverseOffers(offerIds, 10),
    { decline_inverse_offers: { inverse_offer_ids: wrappedIds, filters: { refuse_seconds: 10 } } },
  ],
  ACKNOWLEDGE_OPERATION_STATUS: [
    () => client.acknowledgeOperationStatus(operationStatus),
    {
      acknowledge_operation_status: {
        operation_id: { value: "op" },
        agent_id: { value: agentId },
        uuid: UUID,
      },
    },
  ],
  RECONCILE_OPERATIONS: [
    () => client.reconcileOperations([{ operationId: "op", agentId, resourceProviderId: "provider" }]),
    {
      reconcile_operations: {
        operations: [
          {
            operation_id: { value: "op" },
            agent_id: { value: agentId },
            resource_provider_id: { value: "provider" },
          },
        ],
      },
    },
  ],
  UPDATE_FRAMEWORK: [
    () =>
      client.updateFramework(
        { user: "nobody", name: "new" },
        { suppressedRoles: ["dev"], constraints: { role_constraints: { prod: { groups: [] } } } },
      ),
    {
      update_framework: {
        framework_info: { id: { value: "f" }, user: "nobody", name: "new" },
        suppressed_roles: ["dev"],
        offer_constraints: { role_constraints: { prod: {} } },
      },
    },
  ],
};

test.each(Object.entries(CALLS))("%s", async (type, [make, member]) => {
  const stream = client.subscribe({ user: "nobody", name: "test" });
  await stream.next();
  await make();
  expect(sent.at(-1)).toMatchObject({ type, framework_id: { value: "f" }, ...member });
  await stream.return();
});

test("SUBSCRIBE says which offers are wanted", async () => {
  const stream = client.subscribe(
    { user: "nobody", name: "test", roles: ["prod", "dev"], capabilities: [{ type: "MULTI_ROLE" }] },
    { offers: { suppressedRoles: ["dev"] } },
  );
  await stream.next();
  expect(sent[0]?.subscribe).toMatchObject({
    framework_info: { user: "nobody", roles: ["prod", "dev"], capabilities: [{ type: "MULTI_ROLE" }] },
    suppressed_roles: ["dev"],
  });
  await stream.return();
});

test("without a subscription no call is sent", async () => {
  await expect(client.teardown()).rejects.toMatchObject({ name: "StreamBrokenError" });
  expect(sent).toEqual([]);
});

test("what the plane made itself is not acknowledged", async () => {
  await client.acknowledge(statusOf("t", "TASK_LOST", { uuid: undefined } satisfies Partial<TaskStatus>));
  await client.acknowledgeOperationStatus({ ...operationStatus, uuid: undefined });
  expect(sent).toEqual([]);
});

test("ids are checked where they come from", () => {
  expect(() => asTaskId("a/b")).toThrow(RangeError);
  expect(() => asAgentId("")).toThrow("may not be empty");
});
