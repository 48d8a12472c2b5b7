// What the real experiment is asked, which arms that means, and which of them are done.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Observer } from '@promot/core/base';
import { type Arm, type ArmSteps, arms } from './arms.js';
import type { KeptSize } from './kept.js';
import { findTarget } from './targets.js';

export interface RealRequest {
  /** A pretrained decoder-only model that was not tuned to follow instructions. */
  readonly model: string;
  /** Folder with the data sets. */
  readonly data: string;
  readonly out: string;
  /** Name of a target: `snli`. */
  readonly target: string;
  readonly lengths: ArmSteps;
  /** Examples of each kept task; twice as many of the target. */
  readonly limit: number;
  readonly kept: KeptSize;
  /** These arms, or groups of arms, are done, with those that they need. */
  readonly only: readonly string[];
  /** AdamW's for the prompt: 0.1 suits Gemma 3. */
  readonly promptRate: number;
  /** The first seed, and how many there are. */
  readonly seed: number;
  readonly seeds: number;
  readonly precision: 'fp32' | 'bf16';
  readonly signal?: AbortSignal;
  /** Hears of each arm as a job, and of what happens in it. */
  readonly onEvent?: Observer;
}

/** All arms of a request's target, whether they are wanted or not. */
export function armsOf({
  target,
  ...request
}: Pick<RealRequest, 'target' | 'lengths' | 'promptRate' | 'seeds'>): Arm[] {
  return arms({ ...request, promptInit: findTarget(target).promptInit });
}

/** The file that says an arm is done. */
export const donePath = (out: string, { name }: Arm) => join(out, 'jobs', name, 'done');

export const isArmDone = (out: string, arm: Arm): boolean => existsSync(donePath(out, arm));
