// The master's counters under Mesos' names, as /metrics/snapshot shows them. They count from this instance's start.
export const COUNTERS = [
  "master/dropped_messages",
  "master/invalid_framework_to_executor_messages",
  "master/invalid_status_update_acknowledgements",
  "master/invalid_status_updates",
  "master/messages_authenticate",
  "master/messages_deactivate_framework",
  "master/messages_exited_executor",
  "master/messages_framework_to_executor",
  "master/messages_kill_task",
  "master/messages_launch_tasks",
  "master/messages_reconcile_tasks",
  "master/messages_register_framework",
  "master/messages_register_slave",
  "master/messages_reregister_framework",
  "master/messages_reregister_slave",
  "master/messages_resource_request",
  "master/messages_revive_offers",
  "master/messages_status_update",
  "master/messages_status_update_acknowledgement",
  "master/messages_unregister_framework",
  "master/messages_unregister_slave",
  "master/recovery_slave_removals",
  "master/slave_registrations",
  "master/slave_removals",
  "master/slave_removals/reason_registered",
  "master/slave_removals/reason_unhealthy",
  "master/slave_removals/reason_unregistered",
  "master/slave_reregistrations",
  "master/slave_unreachable_canceled",
  "master/slave_unreachable_completed",
  "master/slave_unreachable_scheduled",
  "master/tasks_failed",
  "master/tasks_finished",
  "master/tasks_killed",
  "master/tasks_lost",
  "master/valid_framework_to_executor_messages",
  "master/valid_status_update_acknowledgements",
  "master/valid_status_updates",
] as const;
export type CounterName = (typeof COUNTERS)[number];
export type Counters = Record<CounterName, number>;

export function newCounters(): Counters {
  return Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Counters;
}
