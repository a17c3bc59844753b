import { expect, test } from "vitest";
import { newTimer, percentile, record, SAMPLES_MAX, timerMetrics } from "#metrics/timer.ts";

test("nothing before the first sample, the bare key after one, statistics from two on", () => {
  const timer = newTimer(1000);
  expect(timerMetrics("t_ms", timer, 0)).toEqual({});
  record(timer, 5, 0);
  expect(timerMetrics("t_ms", timer, 0)).toEqual({ t_ms: 5 });
  record(timer, 7, 1);
  expect(timerMetrics("t_ms", timer, 1)).toMatchObject({
    t_ms: 7,
    "t_ms/count": 2,
    "t_ms/min": 5,
    "t_ms/max": 7,
    "t_ms/p50": 6,
  });
});

test("samples leave with the window, and the oldest beyond the bound", () => {
  const timer = newTimer(1000);
  for (let i = 0; i < SAMPLES_MAX + 10; i++) record(timer, i, 0);
  expect(timer.samples).toHaveLength(SAMPLES_MAX);
  record(timer, 1, 5000);
  expect(timerMetrics("t_ms", timer, 5000)).toEqual({ t_ms: 1 });
});

test("percentiles are interpolated", () => {
  expect(percentile([1, 2, 3, 4], 0.5)).toBe(2.5);
  expect(percentile([10], 0.99)).toBe(10);
});
