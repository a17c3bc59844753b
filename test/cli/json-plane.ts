// A plane that answers operators' requests with what a test says, on a real port.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach } from "vitest";
import type { Context } from "#protocol/credentials.ts";
import { Plane } from "../../cli/plane.ts";

/** Status 0: the connection breaks instead. A text is sent as it is. */
interface Answer {
  readonly status?: number;
  readonly body: unknown;
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

export class JsonPlane {
  readonly asked: { readonly path: string; readonly body: unknown }[] = [];
  readonly #server: Server;

  private constructor(answer: (path: string, body: unknown) => Promise<Answer>) {
    this.#server = createServer(async (request, response) => {
      let text = "";
      for await (const chunk of request) text += String(chunk);
      const path = request.url ?? "";
      const body: unknown = text === "" ? undefined : JSON.parse(text);
      this.asked.push({ path, body });
      const { status = 200, body: answered } = await answer(path, body);
      if (status === 0) return void response.destroy();
      response.writeHead(status).end(typeof answered === "string" ? answered : JSON.stringify(answered));
    });
    cleanups.push(() => this.close());
  }

  static async listen(answer: (path: string, body: { from: number }) => Promise<Answer>): Promise<[JsonPlane, Plane]> {
    const fake = new JsonPlane((path, body) => answer(path, body as { from: number }));
    await new Promise<void>((resolve) => fake.#server.listen(0, "127.0.0.1", resolve));
    const plane = `http://127.0.0.1:${(fake.#server.address() as AddressInfo).port}`;
    return [fake, new Plane({ plane, principal: "operator", secret: "a secret of no use" } as Context)];
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
