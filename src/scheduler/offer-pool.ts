// The offers of one subscription that nobody has taken yet. It decides in which order they are handed out, and that none is
// handed out after it was rescinded, after its subscription was over, or before the framework is ready for it.
import type { OfferId } from "#protocol/ids.ts";
import type { Offer } from "#protocol/scheduler.ts";

type End = { readonly type: "ended" } | { readonly type: "failed"; readonly error: unknown };

export class OfferPool {
  readonly #offers = new Map<OfferId, Offer>();
  /** Who waits, the longest first. */
  readonly #takers = new Set<() => void>();
  #withheld = true;
  #end: End | undefined;

  add(offers: readonly Offer[]): void {
    for (const offer of offers) this.#offers.set(offer.id.value, offer);
    this.#wake();
  }

  rescind(offerId: OfferId): void {
    this.#offers.delete(offerId);
  }

  /** Keeps what comes until {@link release}. */
  withhold(): void {
    this.#withheld = true;
  }

  release(): void {
    this.#withheld = false;
    this.#wake();
  }

  /** The subscription is over, and its offers with it. */
  clear(): void {
    this.#offers.clear();
  }

  /** Nothing will come any more: whoever waits or asks hears it. */
  end(end: End): void {
    this.#end ??= end;
    this.clear();
    this.#wake();
  }

  /** The oldest offer, once there is one; undefined when the signal is aborted or no offer will come. Throws what the framework failed of. */
  async take(signal: AbortSignal | undefined): Promise<Offer | undefined> {
    for (;;) {
      if (this.#end?.type === "failed") throw this.#end.error;
      if (this.#end !== undefined || signal?.aborted === true) return undefined;
      const [first] = this.#withheld ? [] : this.#offers.values();
      if (first !== undefined) {
        this.#offers.delete(first.id.value);
        return first;
      }
      await this.#change(signal);
    }
  }

  #change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#takers.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#takers.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  #wake(): void {
    for (const wake of [...this.#takers]) wake();
  }
}
