// The Worker with objects that count what they are charged for: how often they are woken, by what, and what they write. Plain
// JavaScript, because the tests' type check knows Node's types and this file runs in workerd; harness/hosted-plane.ts bundles it.
import { GatewayDO as RealGatewayDO, MasterDO as RealMasterDO, ReplicaDO as RealReplicaDO } from "../../src/index.ts";

export { default, RegistrarWorker } from "../../src/index.ts";

/** By object: they outlive its instances, which come and go while it sleeps. */
const countsOf = new Map();

/** `GET /counts` on a counted object. */
function counted(Real) {
  return class extends Real {
    #counts;

    constructor(ctx, env) {
      const name = `${Real.name} ${ctx.id.name}`;
      const counts = countsOf.get(name) ?? { instances: 0, rowsWritten: 0, alarmsSet: 0 };
      countsOf.set(name, counts);
      counts.instances += 1;
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
      this.#counts = counts;
    }

    fetch(request) {
      return new URL(request.url).pathname === "/counts" ? Response.json(this.#counts) : super.fetch(request);
    }

    count(name) {
      this.#counts[name] = (this.#counts[name] ?? 0) + 1;
    }
  };
}

export class GatewayDO extends counted(RealGatewayDO) {
  alarm() {
    this.count("alarm");
    return super.alarm();
  }
  webSocketMessage(...given) {
    this.count("webSocketMessage");
    return super.webSocketMessage(...given);
  }
  announce(...given) {
    this.count("announce");
    return super.announce(...given);
  }
  deliver(...given) {
    this.count("deliver");
    return super.deliver(...given);
  }
}

export class MasterDO extends counted(RealMasterDO) {
  alarm() {
    this.count("alarm");
    return super.alarm();
  }
  fromGateway(...given) {
    this.count("fromGateway");
    return super.fromGateway(...given);
  }
  checkIn(...given) {
    this.count("checkIn");
    return super.checkIn(...given);
  }
}

export class ReplicaDO extends counted(RealReplicaDO) {
  deliver(...given) {
    this.count("deliver");
    return super.deliver(...given);
  }
}
