// An object's one alarm. Setting it is a row, so it is only moved when it must ring noticeably sooner.

/** Makes sure that the alarm rings at `due`, ms since 1970, or at most `slackMs` later. */
export async function ringBy(storage: DurableObjectStorage, due: number, slackMs = 0): Promise<void> {
  const set = await storage.getAlarm();
  if (set !== null && set <= due + slackMs) return;
  // Never at a time that may be the running alarm's own: the platform takes that for the one it has just rung, and drops it.
  await storage.setAlarm(Math.max(due, Date.now() + 1));
}
