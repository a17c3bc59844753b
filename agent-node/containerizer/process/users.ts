// Users of the host, asked through `id`: unlike /etc/passwd it also knows those of a directory service.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { SAFE_PATH } from "./supervisor.ts";

export interface HostUser {
  readonly uid: number;
  readonly gid: number;
}

/** How long an answer is good, ms. */
const CACHE_MS = 60_000;
const run = promisify(execFile);

export class Users {
  readonly #known = new Map<string, { readonly user: HostUser | undefined; readonly until: number }>();

  /** Undefined when the host has no such user. */
  async find(name: string): Promise<HostUser | undefined> {
    const cached = this.#known.get(name);
    if (cached !== undefined && cached.until > Date.now()) return cached.user;
    const user = await ask(name);
    this.#known.set(name, { user, until: Date.now() + CACHE_MS });
    return user;
  }
}

async function ask(name: string): Promise<HostUser | undefined> {
  if (!/^[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?$/.test(name)) return undefined;
  const options = { env: { PATH: SAFE_PATH }, timeout: 10_000 };
  try {
    const [uid, gid] = await Promise.all([
      run("id", ["-u", "--", name], options),
      run("id", ["-g", "--", name], options),
    ]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}
