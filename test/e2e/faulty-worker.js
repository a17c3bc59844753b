// The Worker with replicas and masters that a test can make fail. Plain JavaScript, because the tests' type check knows Node's
// types and this file runs in workerd; it is bundled by harness/faulty-plane.ts.
import { MasterDO as RealMasterDO, ReplicaDO as RealReplicaDO } from "../../src/index.ts";

export { default, GatewayDO, RegistrarWorker } from "../../src/index.ts";

const FAULT_PATH = "/fault";

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

/** A candidate that nobody can reach, and that knows nothing of it: every call to it throws, its own calls and alarms go on. */
export class MasterDO extends RealMasterDO {
  faulty = false;

  async fetch(request) {
    if (new URL(request.url).pathname === FAULT_PATH) {
      this.faulty = request.method === "PUT";
      return new Response(null, { status: 204 });
    }
    if (this.faulty) throw new Error("this master is made to fail");
    return super.fetch(request);
  }
}
// What can be called from outside is what the prototype has.
for (const name of Object.getOwnPropertyNames(RealMasterDO.prototype)) {
  if (["constructor", "fetch", "alarm"].includes(name)) continue;
  MasterDO.prototype[name] = function (...args) {
    if (this.faulty) throw new Error("this master is made to fail");
    return RealMasterDO.prototype[name].apply(this, args);
  };
}
