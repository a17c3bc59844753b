// The master's batches to its gateways: one call in flight to each, in order; what comes meanwhile makes the next batch. What a gateway
// does not take, or too slowly, is lost with its sockets: their agents register again, and their reports tell what is missing.
import type { DeliveryItem } from "#protocol/gateway.ts";

/** Most items in one call to a gateway: each may hold an order of some 200 KB, and a call has a bound of 32 MiB. */
const DELIVERY_MAX = 100;
/** Most items that wait for one gateway. A thousand agents with a few words each wait when it is only slow. */
export const WAITING_MAX = 10_000;
/** Of these, those among which a message to an executor is still taken [G19]: it is best effort, and dropped beyond. */
export const BEST_EFFORT_WAITING_MAX = WAITING_MAX / 2;

interface Outbox {
  items: DeliveryItem[];
  delivering: boolean;
  /** Sockets for which there was no more room: nothing else is said to them. */
  readonly lost: Set<string>;
}

export class GatewayOutbox {
  readonly #boxes = new Map<string, Outbox>();
  readonly #deliver: (gateway: string, items: readonly DeliveryItem[]) => Promise<void>;
  readonly #onLost: (gateway: string, socketIds: readonly string[], reason: string) => void;

  constructor(
    deliver: (gateway: string, items: readonly DeliveryItem[]) => Promise<void>,
    onLost: (gateway: string, socketIds: readonly string[], reason: string) => void,
  ) {
    this.#deliver = deliver;
    this.#onLost = onLost;
  }

  push(gateway: string, item: DeliveryItem): void {
    const box = this.#boxes.get(gateway) ?? { items: [], delivering: false, lost: new Set() };
    this.#boxes.set(gateway, box);
    if (isBestEffort(item) && box.items.length >= BEST_EFFORT_WAITING_MAX) return;
    // After a hole nothing else: an order would be taken for the one before it.
    if (box.items.length >= WAITING_MAX || box.lost.has(item.socketId)) box.lost.add(item.socketId);
    else box.items.push(item);
  }

  /** Starts what is not under way. The promise ends when all boxes are empty. */
  async flush(): Promise<void> {
    await Promise.all([...this.#boxes].map(([gateway, box]) => this.#drain(gateway, box)));
  }

  async #drain(gateway: string, box: Outbox): Promise<void> {
    this.#tellLost(gateway, box);
    if (box.delivering) return;
    box.delivering = true;
    try {
      while (box.items.length > 0) {
        const items = box.items.splice(0, DELIVERY_MAX);
        try {
          await this.#deliver(gateway, items);
        } catch (error) {
          for (const { socketId } of items) box.lost.add(socketId);
          this.#tellLost(gateway, box, String(error));
        }
      }
    } finally {
      box.delivering = false;
    }
  }

  #tellLost(gateway: string, box: Outbox, reason = `more than ${WAITING_MAX} items wait for it`): void {
    if (box.lost.size === 0) return;
    const socketIds = [...box.lost];
    // What waits for them would come after the hole.
    box.items = box.items.filter(({ socketId }) => !box.lost.has(socketId));
    box.lost.clear();
    this.#onLost(gateway, socketIds, reason);
  }
}

const isBestEffort = (item: DeliveryItem): boolean =>
  item.type === "message" && item.message.type === "executor-message";
