// Learning rates over the steps of a stage.

import type { Schedule } from '../methods/settings.js';

interface ScheduleOptions {
  readonly schedule: Schedule;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly steps: number;
}

/**
 * The rate of a step, counted from 1. It climbs linearly to `learningRate` over the warm-up; then
 * `constant` stays there, `linear` and `cosine` fall to 0 at the step after the last, `inverse-sqrt` falls with
 * sqrt(warmup / step) (T5's pre-training schedule; with no warm-up 1 / sqrt(step)).
 */
export function learningRateAt(step: number, { schedule, learningRate, warmupSteps, steps }: ScheduleOptions): number {
  if (step <= warmupSteps) return (learningRate * step) / warmupSteps;
  const share = (step - warmupSteps - 1) / Math.max(1, steps - warmupSteps);
  switch (schedule) {
    case 'constant':
      return learningRate;
    case 'linear':
      return learningRate * (1 - share);
    case 'cosine':
      return (learningRate * (1 + Math.cos(Math.PI * share))) / 2;
    case 'inverse-sqrt':
      return learningRate * Math.sqrt(Math.max(1, warmupSteps) / step);
  }
}
