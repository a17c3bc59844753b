// Containers: what a task or executor asks for (ContainerInfo), and what an agent says of one that runs (ContainerStatus).
import * as v from "valibot";
import { secretSchema } from "./command.ts";
import { containerIdObject, type ContainerId } from "./ids.ts";
import { bool, list, map, optional, optionalName, text, uint32, uint64 } from "./json.ts";
import { labels } from "./labels.ts";

const VOLUMES_MAX = 256;
const NETWORKS_MAX = 64;
const PORT_MAPPINGS_MAX = 1024;
const PARAMETERS_MAX = 256;
const SECRETS_MAX = 64;
/** How deep containers may be nested in each other. */
export const CONTAINER_NESTING_MAX = 32;

const name = text(1024);
const path = text(4096);
const parameters = list(v.object({ key: name, value: path }), PARAMETERS_MAX);

export const IMAGE_TYPES = ["APPC", "DOCKER"] as const;
const imageSchema = v.object({
  type: v.picklist(IMAGE_TYPES),
  appc: optional(v.object({ name, id: optional(name), labels: optional(labels) })),
  docker: optional(
    v.object({
      name,
      credential: optional(v.object({ principal: name, secret: optional(name) })),
      config: optional(secretSchema),
    }),
  ),
  cached: optional(bool),
});
/** `cached` defaults to true: an image that is there already is not pulled again. */
export type Image = v.InferOutput<typeof imageSchema>;

const csiVolume = v.object({
  plugin_name: name,
  static_provisioning: optional(
    v.object({
      volume_id: name,
      volume_capability: v.object({
        block: optional(v.object({})),
        mount: optional(v.object({ fs_type: optional(name), mount_flags: list(name, PARAMETERS_MAX) })),
        access_mode: v.object({
          mode: v.picklist([
            "UNKNOWN",
            "SINGLE_NODE_WRITER",
            "SINGLE_NODE_READER_ONLY",
            "MULTI_NODE_READER_ONLY",
            "MULTI_NODE_SINGLE_WRITER",
            "MULTI_NODE_MULTI_WRITER",
          ]),
        }),
      }),
      node_stage_secrets: map(secretSchema, SECRETS_MAX),
      node_publish_secrets: map(secretSchema, SECRETS_MAX),
      volume_context: map(path, PARAMETERS_MAX),
    }),
  ),
});

export const VOLUME_SOURCE_TYPES = ["DOCKER_VOLUME", "HOST_PATH", "SANDBOX_PATH", "SECRET", "CSI_VOLUME"] as const;
export const volumeSchema = v.object({
  mode: v.picklist(["RW", "RO"]),
  container_path: path,
  host_path: optional(path),
  image: optional(imageSchema),
  source: optional(
    v.object({
      type: optionalName(VOLUME_SOURCE_TYPES),
      docker_volume: optional(
        v.object({ driver: optional(name), name, driver_options: optional(v.object({ parameter: parameters })) }),
      ),
      host_path: optional(
        v.object({
          path,
          mount_propagation: optional(v.object({ mode: optionalName(["HOST_TO_CONTAINER", "BIDIRECTIONAL"]) })),
        }),
      ),
      sandbox_path: optional(v.object({ type: optionalName(["SELF", "PARENT"]), path })),
      secret: optional(secretSchema),
      csi_volume: optional(csiVolume),
    }),
  ),
});
/** Without any source it is an empty directory of the sandbox. */
export type Volume = v.InferOutput<typeof volumeSchema>;

const networkInfoSchema = v.object({
  ip_addresses: list(
    v.object({ protocol: optionalName(["IPv4", "IPv6"]), ip_address: optional(text(64)) }),
    NETWORKS_MAX,
  ),
  name: optional(name),
  groups: list(name, NETWORKS_MAX),
  labels: optional(labels),
  port_mappings: list(
    v.object({ host_port: uint32, container_port: uint32, protocol: optional(text(16)) }),
    PORT_MAPPINGS_MAX,
  ),
});
/** A network that a container joins, or has joined. */
export type NetworkInfo = v.InferOutput<typeof networkInfoSchema>;

/** Linux capabilities by Mesos' names: those of the kernel without CAP_. */
export const LINUX_CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
] as const;
export type LinuxCapability = (typeof LINUX_CAPABILITIES)[number];
const capabilityInfo = v.object({
  capabilities: list(v.picklist(["UNKNOWN", ...LINUX_CAPABILITIES]), LINUX_CAPABILITIES.length + 1),
});

const linuxInfoSchema = v.object({
  /** The older name of `effective_capabilities`. */
  capability_info: optional(capabilityInfo),
  bounding_capabilities: optional(capabilityInfo),
  effective_capabilities: optional(capabilityInfo),
  share_pid_namespace: optional(bool),
  seccomp: optional(v.object({ profile_name: optional(name), unconfined: optional(bool) })),
  ipc_mode: optionalName(["PRIVATE", "SHARE_PARENT"]),
  /** MB */
  shm_size: optional(uint32),
  share_cgroups: optional(bool),
});
/** `share_cgroups` defaults to true. */
export type LinuxInfo = v.InferOutput<typeof linuxInfoSchema>;

export const RLIMIT_TYPES = [
  "RLMT_AS",
  "RLMT_CORE",
  "RLMT_CPU",
  "RLMT_DATA",
  "RLMT_FSIZE",
  "RLMT_LOCKS",
  "RLMT_MEMLOCK",
  "RLMT_MSGQUEUE",
  "RLMT_NICE",
  "RLMT_NOFILE",
  "RLMT_NPROC",
  "RLMT_RSS",
  "RLMT_RTPRIO",
  "RLMT_RTTIME",
  "RLMT_SIGPENDING",
  "RLMT_STACK",
] as const;

export const DOCKER_NETWORKS = ["HOST", "BRIDGE", "NONE", "USER"] as const;
const dockerInfoSchema = v.object({
  image: name,
  network: optionalName(DOCKER_NETWORKS),
  port_mappings: list(
    v.object({ host_port: uint32, container_port: uint32, protocol: optional(text(16)) }),
    PORT_MAPPINGS_MAX,
  ),
  privileged: optional(bool),
  parameters,
  force_pull_image: optional(bool),
  volume_driver: optional(name),
});
/** `network` defaults to HOST, `privileged` to false. */
export type DockerInfo = v.InferOutput<typeof dockerInfoSchema>;

export const containerSchema = v.object({
  type: v.picklist(["DOCKER", "MESOS"]),
  volumes: list(volumeSchema, VOLUMES_MAX),
  hostname: optional(text(255)),
  docker: optional(dockerInfoSchema),
  mesos: optional(v.object({ image: optional(imageSchema) })),
  network_infos: list(networkInfoSchema, NETWORKS_MAX),
  linux_info: optional(linuxInfoSchema),
  rlimit_info: optional(
    v.object({
      rlimits: list(
        v.object({ type: optionalName(RLIMIT_TYPES), hard: optional(uint64), soft: optional(uint64) }),
        RLIMIT_TYPES.length,
      ),
    }),
  ),
  tty_info: optional(v.object({ window_size: optional(v.object({ rows: uint32, columns: uint32 })) })),
});
export type ContainerInfo = v.InferOutput<typeof containerSchema>;

/** A container's id with that of the one it is nested in. */
export interface NestedContainerId {
  readonly value: ContainerId;
  readonly parent?: NestedContainerId | undefined;
}

const withParent = v.object({ ...containerIdObject.entries, parent: v.nullish(v.unknown()) });
/** A loop, not a schema that calls itself: that would follow a hostile chain as far as the stack goes. */
export const nestedContainerId = v.pipe(
  withParent,
  v.rawTransform(({ dataset, addIssue, NEVER }): NestedContainerId => {
    const chain: ContainerId[] = [];
    for (let next: unknown = dataset.value; next !== undefined && next !== null;) {
      const one = v.safeParse(withParent, next);
      if (!one.success || chain.length === CONTAINER_NESTING_MAX) {
        addIssue({ message: `parent: must be container ids, at most ${CONTAINER_NESTING_MAX} deep` });
        return NEVER;
      }
      chain.push(one.output.value);
      next = one.output.parent;
    }
    return (
      chain.reduceRight<NestedContainerId | undefined>(
        (parent, value) => (parent === undefined ? { value } : { value, parent }),
        undefined,
      ) ?? { value: dataset.value.value }
    );
  }),
);

export const containerStatusSchema = v.object({
  container_id: optional(nestedContainerId),
  network_infos: v.optional(list(networkInfoSchema, NETWORKS_MAX)),
  cgroup_info: optional(v.object({ net_cls: optional(v.object({ classid: optional(uint32) })) })),
  executor_pid: optional(uint32),
});
export type ContainerStatus = v.InferOutput<typeof containerStatusSchema>;
