// One agent's socket: ordered and lossless until it ends. It may also die without a word, to one end or to both.
import { integerBetween } from "#base/random.ts";
import { PING, PONG } from "#protocol/agent.ts";
import type { Host } from "./agent.ts";
import type { World } from "./isolate.ts";

/** What the gateway has of it: the platform's WebSocket, as far as a gateway uses it. */
export class ServerSocket {
  readyState = 1;
  tags: readonly string[] = [];
  /** When a ping was answered last, by the gateway's clock. */
  pingedAt: number | undefined;
  link: Link | undefined;
  #attachment: unknown;

  serializeAttachment(value: unknown): void {
    this.#attachment = value;
  }
  deserializeAttachment(): unknown {
    return this.#attachment ?? null;
  }
  send(text: string): void {
    if (this.readyState !== 1) throw new Error("the socket is closed");
    this.link?.toAgent(text);
  }
  close(): void {
    if (this.readyState !== 1) return;
    this.readyState = 2;
    this.link?.closedByGateway();
  }
}

/** `new WebSocketPair()`. */
export class SocketPair {
  readonly 0: ServerSocket;
  readonly 1: ServerSocket;
  constructor() {
    const server = new ServerSocket();
    this[0] = server;
    this[1] = server;
  }
}

export interface AgentEnd {
  /** Where the agent is that opened it. */
  readonly host: Host;
  readonly onText: (text: string) => void;
  readonly onClosed: () => void;
}

export interface GatewayEnd {
  /** Not called for pings. */
  readonly onText: (socket: ServerSocket, text: string) => void;
  readonly onClosed: (socket: ServerSocket) => void;
  readonly now: () => number;
}

const DELAY_MS_MAX = 30;

export class Link {
  readonly socket: ServerSocket;
  readonly host: Host;
  readonly #world: World;
  readonly #gateway: GatewayEnd;
  #agent: AgentEnd | undefined;
  /** Nothing passes any more, and no end is told. */
  isDead = false;
  /** When what is on its way arrives, so that nothing overtakes it. */
  #toAgentAt = 0;
  #toGatewayAt = 0;

  constructor(world: World, socket: ServerSocket, gateway: GatewayEnd, agent: AgentEnd) {
    this.#world = world;
    this.socket = socket;
    this.host = agent.host;
    this.#gateway = gateway;
    this.#agent = agent;
    socket.link = this;
  }

  /** Both ends are there, and each reaches the other. */
  get isOpen(): boolean {
    return !this.isDead && this.#agent !== undefined && this.socket.readyState === 1;
  }

  toAgent(text: string): void {
    this.#toAgentAt = this.#pass(this.#toAgentAt, () => this.#agent?.onText(text));
  }

  toGateway(text: string): void {
    this.#toGatewayAt = this.#pass(this.#toGatewayAt, () => {
      const { socket } = this;
      if (socket.readyState !== 1) return;
      if (text !== PING) return this.#gateway.onText(socket, text);
      socket.pingedAt = this.#gateway.now();
      this.toAgent(PONG);
    });
  }

  /** The agent's process has closed it, or has ended. */
  closedByAgent(): void {
    this.#agent = undefined;
    this.#toGatewayAt = this.#pass(this.#toGatewayAt, () => {
      if (this.socket.readyState === 3) return;
      this.socket.readyState = 3;
      this.#gateway.onClosed(this.socket);
    });
  }

  closedByGateway(): void {
    this.#toAgentAt = this.#pass(this.#toAgentAt, () => {
      const agent = this.#agent;
      this.#agent = undefined;
      agent?.onClosed();
      // The agent's host answers the closing.
      this.#toGatewayAt = this.#pass(this.#toGatewayAt, () => {
        if (this.socket.readyState === 3) return;
        this.socket.readyState = 3;
        this.#gateway.onClosed(this.socket);
      });
    });
  }

  /** The gateway's machine is gone. The agent is told, or finds out by the silence. */
  breaks({ isTold }: { readonly isTold: boolean }): void {
    this.socket.readyState = 3;
    const agent = this.#agent;
    this.#agent = undefined;
    this.isDead = true;
    if (isTold) this.#world.schedule.after(this.#delayMs(), () => agent?.onClosed());
  }

  #pass(notBefore: number, arrive: () => void): number {
    const { schedule } = this.#world;
    const at = Math.max(notBefore, schedule.now + this.#delayMs());
    schedule.after(at - schedule.now, () => {
      if (!this.isDead) arrive();
    });
    return at;
  }

  #delayMs(): number {
    return integerBetween(this.#world.random, 1, DELAY_MS_MAX);
  }
}
