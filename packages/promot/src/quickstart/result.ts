// What a quickstart found.
import type { Interval } from '@promot/core/metrics';

/** A model of the comparison and its scores. */
export interface ComparedModel {
  readonly name: string;
  readonly target: ScoreOf;
  readonly others: readonly ScoreOf[];
  /** Percent of the outputs on the other tasks that are in the language of the target's answers. */
  readonly formShare: number;
}

export interface ScoreOf {
  readonly task: string;
  /** What people call the task. */
  readonly title: string;
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  /** 95 %, bootstrap. */
  readonly interval: Interval;
}

/** What every contender says to one prompt. */
export interface PromptOutputs {
  readonly task: string;
  readonly input: string;
  readonly reference: string;
  /** In the contenders' order. */
  readonly outputs: readonly string[];
  /** Whether each of them is right: exactly the reference, but for case and spaces. */
  readonly right: readonly boolean[];
}

export interface QuickstartResult {
  /** The language of the target's answers. */
  readonly language: string;
  /** As pretrained, fine-tuned, tuned by ProMoT. */
  readonly contenders: readonly ComparedModel[];
  readonly sideBySide: readonly PromptOutputs[];
  /** Whether the model was made in place, in a minute, and knows little. */
  readonly pretrainedInPlace: boolean;
  readonly seconds: number;
  /** Paths of the report's files, index.html first. */
  readonly files: readonly string[];
}
