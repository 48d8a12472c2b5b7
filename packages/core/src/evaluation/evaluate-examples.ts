// A loaded model on given examples of a task: generate, post-process, compare.
import { type GenerateOptions, generate } from '../generation/generate.js';
import { score } from '../generation/score.js';
import type { LabelScore, MetricResult } from '../metrics/metric.js';
import type { ChosenMetric } from '../metrics/registry.js';
import { chatEnds, renderChats } from '../models/chat.js';
import type { LoadedModel } from '../models/load.js';
import type { Ids, LanguageModel } from '../models/model.js';
import { joinedTarget, type TextExample, tokenizeExample, tokenizePrompt, tokenizeTarget } from '../models/tokenize.js';
import type { Example, Task } from '../tasks/task.js';
import { scoreChoiceExamples, scoreChoiceResults } from './choices.js';
import { type EvaluateOptions, type Evaluation, tellAnswers } from './evaluation.js';
import { labelTokens } from './likelihood.js';

/**
 * The strings at which outputs of a task end: its own, or a line break behind the exemplars of a decoder-only model.
 */
export function stopStrings(task: Task, kind: LanguageModel['kind'], fewShot: boolean): readonly string[] {
  return task.stop ?? (kind === 'decoder-only' && fewShot ? ['\n'] : []);
}

/**
 * Most tokens that an answer may take, the end of sequence and T5's sentinels included: what the task says, or room for
 * the longest label or reference, and not less than answers usually take by the task's metrics.
 */
export function maxNewTokens(
  task: Task,
  { model, tokenizer }: LoadedModel,
  examples: readonly { readonly target: string }[],
): number {
  if (task.maxNewTokens !== undefined) return task.maxNewTokens;
  // A tokenizer of bytes needs a token a letter.
  const usual = Math.max(...task.metrics.map(({ metric }) => metric.answerTokens));
  const answers = new Set(task.labels ?? examples.map(({ target }) => target));
  let longest = 0;
  for (const answer of answers)
    longest = Math.max(longest, tokenizeTarget(joinedTarget(answer, model.kind), tokenizer).length);
  return Math.max(usual, longest + sentinels);
}

/** T5 pretrained on spans may put one before its answer and one behind it. */
const sentinels = 2;

/**
 * Generates an answer to every example, or asks how likely its choices are, and scores that. Throws UserError where
 * there are no examples.
 */
export async function evaluateExamples(
  loaded: LoadedModel,
  task: Task,
  given: readonly Example[],
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  const examples = renderChats(given, loaded);
  const run = { ...options, onProgress: tellAnswers(task.name, options.onEvent) };
  if (task.choices) return scoreChoiceResults(task, examples, await scoreChoiceExamples(loaded, examples, run));
  const outputs: string[] = [];
  const labels: (readonly LabelScore[])[] = [];
  const needed = task.metrics.some(({ metric }) => metric.needs === 'labels') ? task.labels : undefined;
  const choices = needed && labelTokens(needed, loaded, examples);
  await generateOutputs(loaded, task, examples, { ...run, choices }, (i, output, logprobs) => {
    outputs[i] = output;
    if (choices) labels[i] = labelScores(choices, logprobs!);
  });
  return scoreOutputs(task, examples, outputs, choices && labels);
}

/** How likely the labels of these tokens are, from the log-probabilities that `generateOutputs` gives. */
export function labelScores(choices: readonly Ids[], logprobs: readonly number[]): LabelScore[] {
  return logprobs.map((logprob, label) => ({ logprob, tokens: choices[label]!.length }));
}

/**
 * Generates an answer to every example; `onOutput` hears of each as soon as it is there: the text before the first stop
 * string, with special tokens for tasks that post-process it, and how likely the `choices` are.
 */
export async function generateOutputs(
  loaded: LoadedModel,
  task: Task,
  examples: readonly TextExample[],
  options: EvaluateOptions & Pick<GenerateOptions, 'choices' | 'onProgress'>,
  onOutput: (number: number, output: string, choiceLogprobs: readonly number[] | undefined) => void,
): Promise<void> {
  const { model, tokenizer } = loaded;
  const inputs = examples.map((e) => tokenizePrompt(e, tokenizer, model.kind, options.maxInputLength));
  const specialTokens = task.postprocess !== undefined;
  const decode = (ids: readonly number[]) => tokenizer.decode(ids, { specialTokens });
  const strings = stopStrings(task, model.kind, options.fewShot ?? false);
  await generate(model, inputs, {
    ...options,
    maxNewTokens: options.maxNewTokens ?? maxNewTokens(task, loaded, examples),
    moreEnds: chatEnds(examples, tokenizer),
    ...(strings.length > 0 && { stop: { strings, decode } }),
    onResult: (i, { ids, text, choiceLogprobs }) => onOutput(i, text ?? decode(ids), choiceLogprobs),
  });
}

/**
 * Post-processes outputs, in the examples' order, and scores them by `metrics`: the task's, if nothing else is said.
 * `labels` holds how likely each of the task's labels is, for metrics that need it.
 */
export function scoreOutputs(
  task: Task,
  examples: readonly Pick<Example, 'input' | 'references'>[],
  outputs: readonly string[],
  labels?: readonly (readonly LabelScore[])[],
  metrics: readonly ChosenMetric[] = task.metrics,
): Evaluation {
  const trimmed = outputs.map((output) => task.postprocess?.(output) ?? output.trim());
  const answers = examples.map(({ references }, i) => ({
    output: trimmed[i]!,
    references,
    ...(labels && { labels: labels[i]! }),
  }));
  const results = metrics.map((metric) => metric.score(answers, task.labels));
  const [result] = results as [MetricResult];
  const alone = (i: number) => results.map(({ scoreOf, statistics }) => scoreOf(statistics[i]!, 1));
  return {
    metric: metrics[0]!.name,
    score: result.score,
    n: result.n,
    signature: result.signature,
    result,
    results,
    samples: examples.map((example, i) => ({
      input: example.input,
      output: outputs[i]!,
      trimmed: trimmed[i]!,
      references: example.references,
      score: alone(i)[0]!,
      ...(results.length > 1 && { scores: alone(i) }),
    })),
  };
}

/** Mean negative log-likelihood of the targets (of conversations: of all that the assistant says), nats per token. */
export async function targetLoss(
  loaded: LoadedModel,
  examples: readonly Example[],
  options: EvaluateOptions = {},
): Promise<number> {
  const { model, tokenizer } = loaded;
  const tokenized = renderChats(examples, loaded).map((e) =>
    tokenizeExample(e, tokenizer, model.kind, options.maxInputLength),
  );
  const scored = await score(model, tokenized, options);
  const tokens = scored.reduce((n, s) => n + s.tokens, 0);
  return scored.reduce((sum, s) => sum + s.loss * s.tokens, 0) / tokens;
}
