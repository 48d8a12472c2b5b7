// Scores a model on examples of a task: generate, trim, compare.
import type { Tensor } from '@promot/torch';
import { generate } from '../generation/generate.js';
import { score } from '../generation/score.js';
import { metrics } from '../metrics/index.js';
import type { MetricResult } from '../metrics/metric.js';
import type { LoadedModel } from '../models/load.js';
import type { Ids } from '../models/model.js';
import { joinedTarget, tokenizeExample, tokenizeTarget } from '../models/tokenize.js';
import type { Example, Task } from '../tasks/task.js';

export interface EvaluateOptions {
  /** Soft prompt [P, E] in front of every input. */
  readonly prompt?: Tensor;
  /** Default 4, the paper's. */
  readonly beams?: number;
  /** Most tokens of an answer; by default what the task needs. */
  readonly maxNewTokens?: number;
  /** Inputs in one batch; by default as many as fit a fixed amount of memory. */
  readonly batchSize?: number;
  /** See `generate`. */
  readonly lengthPenalty?: number;
  /** Longer inputs are cut; 0: never. */
  readonly maxInputLength?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** One example with what the model said. */
export interface Sample {
  readonly input: string;
  /** As generated, sentinels included. */
  readonly output: string;
  /** What is compared with the references. */
  readonly trimmed: string;
  readonly references: readonly string[];
  /** 0 to 100. BLEU, which belongs to a corpus: of this example alone. */
  readonly score: number;
}

export interface Evaluation {
  readonly metric: string;
  /** 0 to 100. */
  readonly score: number;
  readonly n: number;
  readonly signature: string;
  /** What a bootstrap needs. */
  readonly result: MetricResult;
  readonly samples: readonly Sample[];
}

/**
 * Most tokens that an answer may take, the end of sequence and T5's sentinels included: room for the longest label or reference,
 * and not less than usual answers take.
 */
export function maxNewTokens(
  task: Task,
  { model, tokenizer }: LoadedModel,
  examples: readonly { readonly target: string }[],
): number {
  // Label words are one to three tokens; answers to questions are names; the rest are sentences. But a tokenizer of bytes
  // needs a token a letter.
  const usual = task.labels ? 8 : task.metric === 'exact-match' ? 32 : 128;
  const answers = new Set(task.labels ?? examples.map(({ target }) => target));
  let longest = 0;
  for (const answer of answers)
    longest = Math.max(longest, tokenizeTarget(joinedTarget(answer, model.kind), tokenizer).length);
  return Math.max(usual, longest + sentinels);
}

/** T5 pretrained on spans may put one before its answer and one behind it. */
const sentinels = 2;

/** Generates an answer to every example and scores them. Throws UserError where there are no examples. */
export async function evaluateExamples(
  loaded: LoadedModel,
  task: Task,
  examples: readonly Example[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const outputs: string[] = [];
  await generateOutputs(loaded, task, examples, options, (i, output) => {
    outputs[i] = output;
  });
  return scoreOutputs(task, examples, outputs);
}

/**
 * Generates an answer to every example; `onOutput` hears of each as soon as it is there: the raw text, sentinels included, and
 * how likely the `choices` are.
 */
export async function generateOutputs(
  loaded: LoadedModel,
  task: Task,
  examples: readonly { input: string; target: string }[],
  options: EvaluateOptions & { readonly choices?: readonly Ids[] },
  onOutput: (number: number, output: string, choiceLogprobs: readonly number[] | undefined) => void,
): Promise<void> {
  const { model, tokenizer } = loaded;
  const tokenized = examples.map((e) => tokenizeExample(e, tokenizer, model.kind, options.maxInputLength));
  await generate(
    model,
    tokenized.map((e) => e.input),
    {
      ...options,
      maxNewTokens: options.maxNewTokens ?? maxNewTokens(task, loaded, examples),
      onResult: (i, { ids, choiceLogprobs }) =>
        onOutput(i, tokenizer.decode(ids, { specialTokens: true }), choiceLogprobs),
    },
  );
}

/** Trims raw outputs, in the examples' order, and scores them. */
export function scoreOutputs(
  task: Task,
  examples: readonly Pick<Example, 'input' | 'references'>[],
  outputs: readonly string[],
): Evaluation {
  const trimmed = outputs.map((output) => task.trim(output));
  const references = examples.map((e) => e.references);
  const result = metrics[task.metric](trimmed, references, task.metricSettings);
  return {
    metric: task.metric,
    score: result.score,
    n: result.n,
    signature: result.signature,
    result,
    samples: examples.map((example, i) => ({
      input: example.input,
      output: outputs[i]!,
      trimmed: trimmed[i]!,
      references: example.references,
      score: result.scoreOf(result.statistics[i]!, 1),
    })),
  };
}

/** Mean negative log-likelihood of the targets, nats per target token over all examples. */
export async function targetLoss(
  { model, tokenizer }: LoadedModel,
  examples: readonly Example[],
  options: EvaluateOptions = {},
): Promise<number> {
  const tokenized = examples.map((e) => tokenizeExample(e, tokenizer, model.kind, options.maxInputLength));
  const scored = await score(model, tokenized, options);
  const tokens = scored.reduce((n, s) => n + s.tokens, 0);
  return scored.reduce((sum, s) => sum + s.loss * s.tokens, 0) / tokens;
}
