// The Worker with replicas that a test can make fail. Plain JavaScript, because the tests' type check knows Node's
// types and this file runs in workerd; it is bundled by harness/faulty-plane.ts.
import { ReplicaDO as RealReplicaDO } from "../../src/index.ts";

export { default, GatewayDO, MasterDO, RegistrarWorker } from "../../src/index.ts";

export class ReplicaDO extends RealReplicaDO {
  #faulty = false;

  /** `PUT /fault` and `DELETE /fault`: from now on every message to this replica is lost, or arrives again. */
  fetch(request) {
    this.#faulty = request.method === "PUT";
    return new Response(null, { status: 204 });
  }

  deliver(raw) {
    if (this.#faulty) throw new Error("this replica is made to fail");
    return super.deliver(raw);
  }
}
