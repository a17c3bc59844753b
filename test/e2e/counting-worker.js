// The Worker with objects that count what they are charged for: how often they are woken, by what, and what they write. Plain
// JavaScript, because the tests' type check knows Node's types and this file runs in workerd; harness/hosted-plane.ts bundles it.
import { GatewayDO as RealGatewayDO, MasterDO as RealMasterDO, ReplicaDO as RealReplicaDO } from "../../src/index.ts";

export { default, RegistrarWorker } from "../../src/index.ts";

/** By object: they outlive its instances, which come and go while it sleeps. */
const countsOf = new Map();

/** `GET /counts` on such an object: what it is woken by, each handler and each call by its name, and what it writes. */
function counted(Real) {
  class Counted extends Real {
    counts;

    constructor(ctx, env) {
      const name = `${Real.name} ${ctx.id.name}`;
      const counts = countsOf.get(name) ?? { rowsWritten: 0, alarmsSet: 0 };
      countsOf.set(name, counts);
      const { storage } = ctx;
      const exec = storage.sql.exec.bind(storage.sql);
      storage.sql.exec = (query, ...bindings) => {
        const cursor = exec(query, ...bindings);
        counts.rowsWritten += cursor.rowsWritten;
        return cursor;
      };
      const setAlarm = storage.setAlarm.bind(storage);
      storage.setAlarm = (...given) => {
        counts.alarmsSet += 1;
        return setAlarm(...given);
      };
      super(ctx, env);
      this.counts = counts;
    }

    fetch(request) {
      return new URL(request.url).pathname === "/counts" ? Response.json(this.counts) : super.fetch(request);
    }
  }
  // What can be called from outside is what the prototype has.
  for (const name of Object.getOwnPropertyNames(Real.prototype)) {
    if (["constructor", "fetch"].includes(name)) continue;
    Counted.prototype[name] = function (...given) {
      this.counts[name] = (this.counts[name] ?? 0) + 1;
      return Real.prototype[name].apply(this, given);
    };
  }
  return Counted;
}

export const GatewayDO = counted(RealGatewayDO);
export const MasterDO = counted(RealMasterDO);
export const ReplicaDO = counted(RealReplicaDO);
