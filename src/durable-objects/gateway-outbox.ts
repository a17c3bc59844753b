// The master's batches to its gateways: one call in flight to each, in order; what comes meanwhile makes the next batch.
import type { DeliveryItem } from "#protocol/gateway.ts";

/** Most items in one call to a gateway: each may hold an order of some 200 KB, and a call has a bound of 32 MiB. */
const DELIVERY_MAX = 100;

interface Outbox {
  items: DeliveryItem[];
  delivering: boolean;
}

export class GatewayOutbox {
  readonly #boxes = new Map<string, Outbox>();
  readonly #deliver: (gateway: string, items: readonly DeliveryItem[]) => Promise<void>;
  readonly #onLost: (gateway: string, items: readonly DeliveryItem[], error: unknown) => void;

  constructor(
    deliver: (gateway: string, items: readonly DeliveryItem[]) => Promise<void>,
    onLost: (gateway: string, items: readonly DeliveryItem[], error: unknown) => void,
  ) {
    this.#deliver = deliver;
    this.#onLost = onLost;
  }

  push(gateway: string, item: DeliveryItem): void {
    const box = this.#boxes.get(gateway) ?? { items: [], delivering: false };
    this.#boxes.set(gateway, box);
    box.items.push(item);
  }

  /** Starts what is not under way. The promise ends when all boxes are empty. */
  async flush(): Promise<void> {
    await Promise.all([...this.#boxes].map(([gateway, box]) => this.#drain(gateway, box)));
  }

  async #drain(gateway: string, box: Outbox): Promise<void> {
    if (box.delivering) return;
    box.delivering = true;
    try {
      while (box.items.length > 0) {
        const items = box.items.splice(0, DELIVERY_MAX);
        try {
          await this.#deliver(gateway, items);
        } catch (error) {
          this.#onLost(gateway, items, error);
        }
      }
    } finally {
      box.delivering = false;
    }
  }
}
