// What an instance of a candidate runs in the simulation: the log's coordinator by itself, or the Registrar that holds one.
import type { Random } from "#base/random.ts";
import { millis } from "#base/time.ts";
import type { Ballot } from "#log/ballot.ts";
import type { MembershipChange } from "#log/calls.ts";
import {
  coordinate,
  type Coordinator,
  type CoordinatorEffect,
  type CoordinatorInput,
  type CoordinatorOptions,
  createCoordinator,
  nextWake,
} from "#log/coordinator.ts";
import type { Entry, Position } from "#log/entry.ts";
import type { AgentId, Epoch, HostKey, MasterId, Principal } from "#protocol/ids.ts";
import type { AuditedOperation } from "#registrar/operations.ts";
import {
  createRegistrar,
  isLeading,
  type Registrar,
  type RegistrarEffect,
  type RegistrarInput,
  step,
} from "#registrar/registrar.ts";

import type { SnapshotOptions } from "#registrar/snapshot.ts";

export type WriterEffect = CoordinatorEffect | RegistrarEffect;
export type WriterInput = CoordinatorInput | Extract<RegistrarInput, { type: "read-answered" }>;

export interface Writer {
  readonly coordinator: Coordinator;
  /** Registrars only; what it has applied. */
  readonly registrar: Registrar | undefined;
  readonly isLeading: boolean;
  stand(from: Position, now: number): readonly WriterEffect[];
  submit(id: number, entries: readonly Entry[], now: number): readonly WriterEffect[];
  change(id: number, change: MembershipChange, now: number): readonly WriterEffect[];
  input(input: WriterInput, now: number): readonly WriterEffect[];
}

export class PlainWriter implements Writer {
  readonly coordinator: Coordinator;
  readonly registrar = undefined;

  constructor(options: CoordinatorOptions) {
    this.coordinator = createCoordinator(options);
  }

  get isLeading(): boolean {
    return this.coordinator.phase.state === "elected";
  }

  stand(from: Position, now: number): readonly WriterEffect[] {
    return coordinate(this.coordinator, { type: "elect", from }, millis(now));
  }

  submit(id: number, entries: readonly Entry[], now: number): readonly WriterEffect[] {
    return coordinate(this.coordinator, { type: "append", id, entries }, millis(now));
  }

  change(id: number, change: MembershipChange, now: number): readonly WriterEffect[] {
    return coordinate(this.coordinator, { type: "change", id, change }, millis(now));
  }

  input(input: WriterInput, now: number): readonly WriterEffect[] {
    return input.type === "read-answered" ? [] : coordinate(this.coordinator, input, millis(now));
  }
}

export class RegistrarWriter implements Writer {
  readonly registrar: Registrar;
  readonly #random: Random;

  constructor(
    options: CoordinatorOptions,
    { epoch, snapshots }: { readonly epoch: Epoch | undefined; readonly snapshots: SnapshotOptions },
    random: Random,
  ) {
    this.#random = random;
    let epochs = 0;
    const newMasterId = (): MasterId => `${options.nonce}/${++epochs}` as MasterId;
    this.registrar = createRegistrar({ ...options, newMasterId, cachedEpoch: epoch, snapshots });
  }

  get coordinator(): Coordinator {
    return this.registrar.coordinator;
  }

  get isLeading(): boolean {
    return isLeading(this.registrar);
  }

  #step(input: RegistrarInput, now: number): readonly WriterEffect[] {
    return step(this.registrar, input, millis(now), this.#random);
  }

  stand(_from: Position, now: number): readonly WriterEffect[] {
    return this.#step({ type: "stand", forced: true }, now);
  }

  submit(id: number, _entries: readonly Entry[], now: number): readonly WriterEffect[] {
    return this.#step({ type: "apply", id, audited: admission(id) }, now);
  }

  change(id: number, change: MembershipChange, now: number): readonly WriterEffect[] {
    return this.#step({ type: "change-membership", id, change }, now);
  }

  input(input: WriterInput, now: number): readonly WriterEffect[] {
    return this.#step(input as RegistrarInput, now);
  }
}

export const nextWakeOf = ({ coordinator }: Writer): number | undefined => nextWake(coordinator);

export const ballotOf = ({ coordinator: { phase } }: Writer): Ballot | undefined =>
  phase.state === "initial" ? undefined : phase.ballot;

export const agentIdOf = (id: number): AgentId => `agent-${id}` as AgentId;

function admission(id: number): AuditedOperation {
  return {
    operation: {
      type: "admit-agent",
      agentId: agentIdOf(id),
      info: { hostname: `host-${id}`, port: 5051, resources: [], attributes: [] },
      hostKey: id.toString(16).padStart(32, "0") as HostKey,
      principal: "agents" as Principal,
      strict: true,
    },
    audit: { who: "simulation", when: millis(id), why: "registered" },
  };
}
