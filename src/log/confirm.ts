// Asking whether a ballot still stands: a quorum that has promised nothing higher since.
import type { ConfirmAnswer, ConfirmCall } from "./calls.ts";
import { type Conversation, hold, unavailable } from "./conversation.ts";
import { describeAnswer, QuorumRound } from "./round.ts";

export function* confirm({ clusterId, ballot, electorate }: ConfirmCall): Conversation<ConfirmAnswer> {
  const round = new QuorumRound<true>({
    electorate,
    ask: (membershipPosition) => ({ type: "confirm", clusterId, membershipPosition, ballot }),
    judge(_from, answer) {
      if (answer.type === "confirmed") return { type: "vote", vote: true };
      if (answer.type === "refused") return { type: "refused", promised: answer.promised };
      return { type: "none", reason: describeAnswer(answer) };
    },
  });
  const confirmed = yield* hold(round);
  if (confirmed.type === "unavailable") return unavailable(confirmed);
  return confirmed.type === "refused" ? confirmed : { type: "confirmed" };
}
