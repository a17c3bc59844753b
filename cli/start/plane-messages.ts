// What the launcher and the process that holds workerd say to each other.

export interface PlaneOptions {
  /** Path of the bundled Worker. */
  readonly worker: string;
  readonly port: number;
  /** Directory of the objects' SQLite files. */
  readonly persist: string;
  /** Text bindings of the Worker. */
  readonly bindings: Readonly<Record<string, string>>;
}

export type PlaneHostOrder = { readonly type: "serve"; readonly options: PlaneOptions } | { readonly type: "stop" };

export type PlaneHostMessage =
  | { readonly type: "ready" }
  /** `missing`: miniflare is not installed. */
  | { readonly type: "failed"; readonly missing: boolean; readonly reason: string };
