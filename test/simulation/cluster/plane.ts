// The plane on virtual time: the shipped MasterDO and GatewayDO as they are, each on a disk of its own, and the calls between them.
// A call may be lost before or after it was executed, and may be late; it is never executed twice.
import { integerBetween, type Random } from "#base/random.ts";
import type { Epoch, Principal } from "#protocol/ids.ts";
import type { CheckIn, DeliveryItem, GatewayBatch } from "#protocol/gateway.ts";
import type { KnownLeader } from "#protocol/leadership.ts";
import { PROTOCOL_VERSION } from "#protocol/version.ts";
import { gatewayOf } from "../../../src/agent/gateway-of.ts";
import { openSession, type SocketId } from "../../../src/agent/session.ts";
import { append } from "#log/append.ts";
import { bootstrap } from "#log/bootstrap.ts";
import type { AppendCall, ConfirmCall, ElectCall, PrepareCall, ReadCall, SettleCall, StatusCall } from "#log/calls.ts";
import { confirm } from "#log/confirm.ts";
import type { Conversation } from "#log/conversation.ts";
import { elect } from "#log/elect.ts";
import type { ReplicaId } from "#log/entry.ts";
import { prepare } from "#log/prepare.ts";
import { read } from "#log/read.ts";
import { settle } from "#log/settle.ts";
import { status } from "#log/status.ts";
import type { TailCall } from "#registrar/calls.ts";
import { tail } from "#registrar/tail.ts";
import type { HostKey } from "#protocol/ids.ts";
import type { Checker as LogChecker } from "../checker.ts";
import type { Caller, Network } from "../network.ts";
import { Disk, storageOf } from "./disk.ts";
import type { ClusterFaultCounts } from "./faults.ts";
import { type Clock, inside, Isolate, type World } from "./isolate.ts";
import { GatewayDO, type GatewayObject, MasterDO, type MasterObject } from "./shells.ts";
import { type AgentEnd, Link, type ServerSocket } from "./socket.ts";

/** How likely each accident of a call is. */
export interface CallWeather {
  readonly lost: number;
  readonly answerLost: number;
  readonly late: number;
  readonly overloaded: number;
  /** That the calling instance dies just before or just after something leaves it, or is stored. */
  readonly death: number;
  readonly alarmLate: number;
}
export const CALM_CALLS: CallWeather = { lost: 0, answerLost: 0, late: 0, overloaded: 0, death: 0, alarmLate: 0 };

/** Share of the calls that is lost in a burst. */
const BURST_LOST = 0.4;
const DELAY_MS_MAX = 12;
const LATE_CALL_MS_MAX = 9_000;

/** Looks on: what leaves an object, what it is asked. It may change what passes: that is how rules of the edge are broken. */
export interface PlaneObserver {
  onDeliver(master: MasterHost, isolate: Isolate, items: readonly DeliveryItem[]): readonly DeliveryItem[];
  onBatch(isolate: Isolate, batch: GatewayBatch): GatewayBatch;
  onCheckIn(checkIn: CheckIn): CheckIn;
  /** The master has taken what the gateway said, whatever became of it at the edge. */
  onTaken(isolate: Isolate, batch: GatewayBatch): void;
  onAppend(isolate: Isolate, call: AppendCall): void;
  onAppendFailed(isolate: Isolate, call: AppendCall): void;
  /** Our own bug: an exception that no rule foresees. */
  onException(where: string, error: unknown): void;
}

export interface PlaneOptions {
  readonly world: World;
  readonly random: Random;
  readonly faults: ClusterFaultCounts;
  readonly network: Network;
  readonly logChecker: LogChecker;
  readonly seeds: readonly ReplicaId[];
  readonly candidates: readonly string[];
  readonly gateways: number;
  readonly environment: Readonly<Record<string, string>>;
  readonly observer: PlaneObserver;
}

/** One object: its disk, and the instance that there is now, if there is one. */
abstract class ObjectHost<T extends { alarm(): Promise<void> }> {
  readonly name: string;
  readonly disk = new Disk();
  readonly clock: Clock = { skewMs: 0 };
  isolate: Isolate | undefined;
  /** Calls neither reach it nor leave it before this time. */
  cutUntil = 0;
  protected readonly plane: Plane;
  #object: T | undefined;
  #alarms = 0;

  constructor(name: string, plane: Plane) {
    this.name = name;
    this.plane = plane;
  }

  protected abstract create(context: object): T;
  protected contextExtras(_isolate: Isolate): object {
    return {};
  }

  /** The instance that takes the next event: it is started for it. */
  current(): { readonly object: T; readonly isolate: Isolate } {
    if (this.#object !== undefined && this.isolate?.isAlive === true)
      return { object: this.#object, isolate: this.isolate };
    const { world } = this.plane.options;
    const isolate = new Isolate(this.name, world, this.clock);
    const context = {
      id: { name: this.name },
      storage: storageOf({
        disk: this.disk,
        isolate,
        isOwner: () => this.isolate === isolate,
        onAlarm: () => this.#armAlarm(),
        onTransaction: (dying) => this.plane.mayDie(dying),
      }),
      waitUntil: (promise: Promise<unknown>) =>
        void Promise.resolve(promise).catch((error: unknown) => this.plane.failed(isolate, error)),
      abort: () => {
        if (this.isolate === isolate) this.stop();
        isolate.die();
      },
      ...this.contextExtras(isolate),
    };
    this.isolate = isolate;
    const object = isolate.enter(() => this.create(context));
    this.#object = object;
    return { object, isolate };
  }

  get isRunning(): boolean {
    return this.#object !== undefined && this.isolate?.isAlive === true;
  }

  /** The instance ends, here and now. */
  stop(): void {
    const { isolate } = this;
    this.#object = undefined;
    this.isolate = undefined;
    isolate?.die();
  }

  /** Another instance begins at the next event; this one does not know, until it touches the storage that is no longer its own. */
  forget(): Isolate | undefined {
    const { isolate } = this;
    this.#object = undefined;
    this.isolate = undefined;
    return isolate;
  }

  #armAlarm(): void {
    const { world, random, faults } = this.plane.options;
    const { alarmAt } = this.disk;
    if (alarmAt === undefined) return;
    const token = ++this.#alarms;
    let lateMs = random.next() * 5;
    if (random.next() < this.plane.weather.alarmLate) {
      faults.count("late-alarm");
      lateMs = random.next() * 10_000;
    }
    world.schedule.after(Math.max(0, alarmAt - world.schedule.now) + lateMs, () => {
      if (token === this.#alarms && this.disk.alarmAt !== undefined) this.#ring();
    });
  }

  #ring(): void {
    const { world, random, faults } = this.plane.options;
    this.disk.alarmAt = undefined;
    const { object, isolate } = this.current();
    if (random.next() < this.plane.weather.alarmLate) {
      faults.count("repeated-alarm");
      this.disk.alarmAt = world.schedule.now + 50;
      this.#armAlarm();
    }
    // An alarm whose handler did not come to its end rings again.
    const again = (): void => {
      if (this.disk.alarmAt !== undefined) return;
      this.disk.alarmAt = world.schedule.now + 2_000;
      this.#armAlarm();
    };
    isolate.onDeath.add(again);
    isolate
      .enter(() => object.alarm())
      .then(
        () => void isolate.onDeath.delete(again),
        (error: unknown) => {
          isolate.onDeath.delete(again);
          this.plane.failed(isolate, error);
          again();
        },
      );
  }
}

export class MasterHost extends ObjectHost<MasterObject> {
  /** Its way to the log. */
  readonly caller: Caller = { cutTo: new Set(), cutFrom: new Set(), pausedUntil: 0 };

  protected create(context: object): MasterObject {
    return new MasterDO(context, this.plane.environment);
  }
  protected override contextExtras(isolate: Isolate): object {
    return { exports: { RegistrarWorker: this.plane.logOf(this, isolate) } };
  }
}

export class GatewayHost extends ObjectHost<GatewayObject> {
  /** They outlive an instance that hibernates. */
  readonly sockets = new Set<ServerSocket>();

  protected create(context: object): GatewayObject {
    return new GatewayDO(context, this.plane.environment);
  }
  protected override contextExtras(isolate: Isolate): object {
    return {
      acceptWebSocket: (socket: ServerSocket, tags: readonly string[]) => {
        socket.tags = tags;
        if (isolate.isAlive) this.sockets.add(socket);
      },
      getWebSockets: (tag?: string) =>
        isolate.isAlive ? [...this.sockets].filter((socket) => tag === undefined || socket.tags.includes(tag)) : [],
      setWebSocketAutoResponse: () => undefined,
      getWebSocketAutoResponseTimestamp: ({ pingedAt }: ServerSocket) =>
        pingedAt === undefined ? null : { getTime: () => pingedAt },
    };
  }

  /** The machine is gone, and every socket with it. */
  crash(isTold: () => boolean): void {
    for (const socket of this.sockets) socket.link?.breaks({ isTold: isTold() });
    this.sockets.clear();
    this.stop();
  }
}

export class Plane {
  readonly options: PlaneOptions;
  readonly masters: ReadonlyMap<string, MasterHost>;
  readonly gateways: ReadonlyMap<string, GatewayHost>;
  readonly environment: object;
  weather: CallWeather = CALM_CALLS;
  /** Until then a good part of the calls is lost: what comes in several parts is then torn. */
  burstUntil = 0;
  calls = 0;
  /** The last batch of each gateway. */
  readonly #given = new Map<string, GatewayBatch>();
  /** Every socket that was ever opened, by its id. */
  readonly links = new Map<string, Link>();

  constructor(options: PlaneOptions) {
    this.options = options;
    this.masters = new Map(options.candidates.map((name) => [name, new MasterHost(name, this)]));
    this.gateways = new Map(
      Array.from({ length: options.gateways }, (_, i) => {
        const name = `gateway-${i + 1}`;
        return [name, new GatewayHost(name, this)];
      }),
    );
    this.environment = {
      ...options.environment,
      MASTER: { idFromName: (name: string) => name, get: (name: string) => this.masterStub(name) },
      GATEWAY: { idFromName: (name: string) => name, get: (name: string) => this.#gatewayStub(name) },
    };
  }

  failed(isolate: Isolate, error: unknown): void {
    // What an instance that has died still does in its last turn is nobody's business.
    if (isolate.isAlive && !(error instanceof CallError)) this.options.observer.onException(isolate.name, error);
  }

  /** Whether the instance dies here, between one thing that it does and the next. */
  mayDie(isolate: Isolate | undefined): boolean {
    if (isolate === undefined || !isolate.isAlive || !this.masters.has(isolate.name)) return false;
    if (this.options.random.next() >= this.weather.death) return false;
    this.options.faults.count("crash-between-effects");
    const host = this.masters.get(isolate.name);
    if (host?.isolate === isolate) host.stop();
    else isolate.die();
    return true;
  }

  masterStub(name: string): MasterObject {
    const host = this.masters.get(name);
    if (host === undefined) throw new Error(`no candidate ${name}`);
    const { observer } = this.options;
    const stub: { [Name in Exclude<keyof MasterObject, "alarm">]: MasterObject[Name] } = {
      leadership: () => this.#call(host, (object) => object.leadership()),
      stand: (insteadOf: Epoch) => this.#call(host, (object) => object.stand(insteadOf)),
      failover: () => this.#call(host, (object) => object.failover()),
      defend: () => this.#call(host, (object) => object.defend()),
      hearOf: (leader: KnownLeader) => this.#call(host, (object) => object.hearOf(leader)),
      checkIn: (checkIn) => this.#call(host, (object) => object.checkIn(observer.onCheckIn(checkIn))),
      fromGateway: (batch) =>
        this.#call(host, async (object, isolate) => {
          this.#given.set(batch.gateway, batch);
          const answer = await object.fromGateway(observer.onBatch(isolate, batch));
          // One of the gateway's next life may have waited for the same quorum.
          if (answer.type === "taken" && this.#given.get(batch.gateway) === batch) observer.onTaken(isolate, batch);
          return answer;
        }),
      call: (request) => this.#call(host, (object) => object.call(request)),
      markAgentGone: (agentId, by: Principal | "operator") =>
        this.#call(host, (object) => object.markAgentGone(agentId, by)),
      updateQuota: (change, by) => this.#call(host, (object) => object.updateQuota(change, by)),
      updateWeights: (infos, by) => this.#call(host, (object) => object.updateWeights(infos, by)),
      fetch: (request) => this.#call(host, (object) => object.fetch(request)),
    };
    return stub as MasterObject;
  }

  #gatewayStub(name: string): Pick<GatewayObject, "deliver" | "announce"> {
    const host = this.gateways.get(name);
    if (host === undefined) throw new Error(`no gateway ${name}`);
    const isolate = inside();
    const master = isolate === undefined ? undefined : this.masters.get(isolate.name);
    const { observer } = this.options;
    const stub = {
      deliver: (items: readonly DeliveryItem[]) => {
        const seen =
          master === undefined || isolate?.isAlive !== true ? items : observer.onDeliver(master, isolate, items);
        return this.#call(host, (object) => object.deliver(seen));
      },
      announce: (announcement: Parameters<GatewayObject["announce"]>[0]) =>
        this.#call(host, (object) => object.announce(announcement)),
    };
    return stub as unknown as Pick<GatewayObject, "deliver" | "announce">;
  }

  #call<T extends { alarm(): Promise<void> }, Answer>(
    host: ObjectHost<T>,
    execute: (object: T, isolate: Isolate) => Answer | Promise<Answer>,
  ): Promise<Answer> {
    const { world, random, faults } = this.options;
    const { schedule } = world;
    const caller = inside();
    this.calls += 1;
    if (caller !== undefined && (!caller.isAlive || this.mayDie(caller))) return new Promise(() => {});
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (how: () => void): void => {
        if (isSettled || caller?.isAlive === false) return;
        isSettled = true;
        world.stir();
        how();
      };
      const fail = (text: string, more: object = {}): void =>
        schedule.after(integerBetween(random, 1, 200), () => settle(() => reject(new CallError(text, more))));
      const { weather } = this;
      const callerHost =
        caller === undefined ? undefined : (this.masters.get(caller.name) ?? this.gateways.get(caller.name));
      const lost = schedule.now < this.burstUntil ? BURST_LOST : weather.lost;
      if (random.next() < lost || (callerHost?.cutUntil ?? 0) > schedule.now) {
        faults.count("call-lost");
        return fail("the call was lost");
      }
      schedule.after(this.#delayMs(), () => {
        if (host.cutUntil > schedule.now) return fail(`${host.name} cannot be reached`);
        if (random.next() < weather.overloaded) {
          faults.count("overloaded");
          return fail(`${host.name} is overloaded`, { overloaded: true });
        }
        const { object, isolate } = host.current();
        // It may die while it is made: its constructor writes.
        if (!isolate.isAlive) return fail(`${host.name} was reset`);
        const onDeath = (): void => fail(`${host.name} was reset`);
        isolate.onDeath.add(onDeath);
        const answer = isolate.enter(async () => execute(object, isolate));
        answer.then(
          (value) => {
            isolate.onDeath.delete(onDeath);
            if (!isolate.isAlive) return;
            if (random.next() < weather.answerLost || (callerHost?.cutUntil ?? 0) > schedule.now) {
              faults.count("answer-lost");
              return fail("the answer was lost");
            }
            schedule.after(this.#delayMs(), () => settle(() => resolve(value)));
          },
          (error: unknown) => {
            isolate.onDeath.delete(onDeath);
            if (!isolate.isAlive) return;
            this.failed(isolate, error);
            fail(String(error));
          },
        );
      });
      // It dies just after the call has left.
      if (caller !== undefined) this.mayDie(caller);
    });
  }

  #delayMs(): number {
    const { random, faults } = this.options;
    if (random.next() < this.weather.late) {
      faults.count("late-call");
      return integerBetween(random, 50, LATE_CALL_MS_MAX);
    }
    return integerBetween(random, 1, DELAY_MS_MAX);
  }

  // ---- the log

  #converse<Result>(caller: Caller, isolate: Isolate, conversation: Conversation<Result>): Promise<Result> {
    if (!isolate.isAlive || this.mayDie(isolate)) return new Promise(() => {});
    const { world, network } = this.options;
    const answered = new Promise<Result>((resolve) => {
      network.converse(caller, conversation, (result) => {
        if (!isolate.isAlive) return;
        world.stir();
        resolve(result);
      });
    });
    this.mayDie(isolate);
    return answered;
  }

  logOf({ caller }: MasterHost, isolate: Isolate): object {
    const { seeds, logChecker, observer } = this.options;
    const converse = <Result>(conversation: Conversation<Result>) => this.#converse(caller, isolate, conversation);
    return {
      status: (call?: StatusCall) => converse(status(seeds, call)),
      elect: async (call: ElectCall) => {
        const answer = await converse(elect(call, seeds));
        if (answer.type === "elected") logChecker.elected(call.ballot, answer.next);
        return answer;
      },
      append: async (call: AppendCall) => {
        observer.onAppend(isolate, call);
        const answer = await converse(append(call));
        if (answer.type === "appended") logChecker.appended(call.ballot, call.position, call.entries);
        else observer.onAppendFailed(isolate, call);
        return answer;
      },
      confirm: (call: ConfirmCall) => converse(confirm(call)),
      settle: (call: SettleCall) => converse(settle(call)),
      prepare: (call: PrepareCall) => converse(prepare(call)),
      read: (call: ReadCall) => converse(read(call, seeds)),
      readTail: (call: TailCall) => converse(tail(call, seeds)),
      bootstrap: (call: Parameters<typeof bootstrap>[0]) => converse(bootstrap(call, seeds)),
    };
  }

  // ---- agents

  /**
   * An agent's socket, authenticated: the exchange of proofs is left out, since Web Crypto knows no virtual time. Undefined when the
   * gateway cannot be reached.
   */
  openSocket(hostKey: HostKey, epochSeen: Epoch, agent: AgentEnd, onOpen: (link: Link | undefined) => void): void {
    const { world, random, gateways } = this.options;
    const host = this.gateways.get(gatewayOf(hostKey, gateways));
    if (host === undefined || random.next() < this.weather.lost) {
      world.schedule.after(this.#delayMs(), () => onOpen(undefined));
      return;
    }
    world.schedule.after(this.#delayMs(), () => {
      const { object, isolate } = host.current();
      isolate
        .enter(() => object.fetch({ url: `http://plane/agent/socket/${hostKey}` }))
        .then(
          (response) => {
            const socket = response.webSocket as ServerSocket;
            if (!isolate.isAlive) return onOpen(undefined);
            const socketId = socket.tags[0] as SocketId;
            socket.serializeAttachment({
              ...openSession({ socketId, hostKey, openedAt: isolate.now as never }),
              protocol: PROTOCOL_VERSION,
              state: "authenticated",
              principal: "agents" as Principal,
              epochSeen,
            });
            const link = new Link(
              world,
              socket,
              {
                now: () => Math.floor(world.schedule.now + host.clock.skewMs),
                onText: (from, text) => {
                  const live = host.current();
                  live.isolate
                    .enter(() => live.object.webSocketMessage(from, text))
                    .catch((error: unknown) => this.failed(live.isolate, error));
                },
                onClosed: (from) => {
                  const live = host.current();
                  live.isolate.enter(() => live.object.webSocketClose(from));
                  host.sockets.delete(from);
                },
              },
              agent,
            );
            this.links.set(socketId, link);
            onOpen(link);
          },
          (error: unknown) => {
            this.failed(isolate, error);
            onOpen(undefined);
          },
        );
    });
  }
}

/** What a caller is told of a call that was not answered. */
class CallError extends Error {
  readonly overloaded: boolean;
  constructor(text: string, { overloaded = false }: { readonly overloaded?: boolean } = {}) {
    super(text);
    this.overloaded = overloaded;
  }
}
