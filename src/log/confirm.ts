// Asking whether a ballot still stands: a quorum that has promised nothing higher since.
import type { ConfirmAnswer, ConfirmCall } from "./calls.ts";
import { type Concluded, type Conversation, hold } from "./conversation.ts";
import type { ReplicaId } from "./entry.ts";
import { describeAnswer, QuorumRound } from "./round.ts";

export function* confirm(call: ConfirmCall, seeds: readonly ReplicaId[]): Conversation<Concluded<ConfirmAnswer>> {
  const { clusterId, ballot } = call;
  const round = new QuorumRound<true>({
    seeds,
    ask: (membershipPosition) => ({ type: "confirm", clusterId, membershipPosition, ballot }),
    judge(_from, answer) {
      if (answer.type === "confirmed") return { type: "vote", vote: true };
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      return { type: "none", reason: describeAnswer(answer) };
    },
  });
  const confirmed = yield* hold(round);
  return { answer: confirmed.type === "decided" ? { type: "confirmed" } : confirmed };
}
