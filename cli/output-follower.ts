// Reads a growing file of a task's sandbox through the plane, piece by piece. It decides when to ask again; where the
// pieces go, and when the task is over, is the caller's.
import type { AgentId, FrameworkId } from "#protocol/ids.ts";
import { Failure } from "./failure.ts";
import { describeRefusal, type Plane } from "./plane.ts";

/** Pause before asking again, ms: the first after data came, doubling up to the last while none comes. */
export const POLL_MS_MIN = 50;
export const POLL_MS_MAX = 500;
/** How long a file of an ended task may be out of reach (its agent is reconnecting) before the rest is given up, ms. */
export const DRAIN_MS_MAX = 15_000;

export interface SandboxFile {
  readonly agentId: AgentId;
  readonly frameworkId: FrameworkId;
  /** Of a command task: the task's id. */
  readonly executorId: string;
  readonly name: "stdout" | "stderr";
}

export type Piece =
  | { readonly type: "bytes"; readonly bytes: Uint8Array }
  /** The file has no more bytes at the moment, or is not there yet. */
  | { readonly type: "nothing" }
  /** Agent or plane cannot answer now. */
  | { readonly type: "unavailable"; readonly reason: string };

/** The bytes from `offset` on, as many as the agent gives at once. A refusal that will not change is a {@link Failure}. */
export async function readPiece(plane: Plane, file: SandboxFile, offset: number): Promise<Piece> {
  const virtualPath = `/frameworks/${file.frameworkId}/executors/${file.executorId}/runs/latest/${file.name}`;
  const path = `/agents/${encodeURIComponent(file.agentId)}/files/download?path=${encodeURIComponent(virtualPath)}`;
  let response: Response;
  try {
    response = await plane.fetch(path, { headers: { Range: `bytes=${offset}-` } });
    if (response.status === 206) return pieceOf(new Uint8Array(await response.arrayBuffer()));
    // Without the range: the whole file.
    if (response.status === 200) return pieceOf(new Uint8Array(await response.arrayBuffer()).subarray(offset));
  } catch (error) {
    return { type: "unavailable", reason: (error as Error).message };
  }
  if (response.status === 416 || response.status === 404) {
    await response.body?.cancel();
    return { type: "nothing" };
  }
  const reason = await describeRefusal(`output of ${file.executorId}`, response);
  if (response.status < 500 && response.status !== 429) throw new Failure(reason);
  return { type: "unavailable", reason };
}

const pieceOf = (bytes: Uint8Array): Piece => (bytes.length === 0 ? { type: "nothing" } : { type: "bytes", bytes });

export interface Following {
  readonly write: (bytes: Uint8Array) => void;
  /** Aborted when the task is over: what is there by then is still read to its end. */
  readonly ended: AbortSignal;
}

/** Follows a file until `ended` and its end. Returns why bytes may be missing, or undefined when all were read. */
export async function followFile(
  plane: Plane,
  file: SandboxFile,
  { write, ended }: Following,
): Promise<string | undefined> {
  let offset = 0;
  let pauseMs = POLL_MS_MIN;
  let drainDeadline: number | undefined;
  for (;;) {
    const last = ended.aborted; // before the read: bytes written after it belong to no task
    const piece = await readPiece(plane, file, offset);
    if (piece.type === "bytes") {
      write(piece.bytes);
      offset += piece.bytes.length;
      pauseMs = POLL_MS_MIN;
      continue;
    }
    if (last && piece.type === "nothing") return undefined;
    if (last && piece.type === "unavailable") {
      drainDeadline ??= Date.now() + DRAIN_MS_MAX;
      if (Date.now() > drainDeadline) return piece.reason;
    }
    await pauseUnlessEnded(pauseMs, last ? undefined : ended);
    pauseMs = Math.min(pauseMs * 2, POLL_MS_MAX);
  }
}

function pauseUnlessEnded(ms: number, ended: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      ended?.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    ended?.addEventListener("abort", finish, { once: true });
    if (ended?.aborted === true) finish();
  });
}
