// Multiple choice by likelihood as lm-evaluation-harness does it: which tokens are scored, and what comes of them.
import type { Tensor } from '@promot/torch';
import { reworded, UserError } from '../base/errors.js';
import type { RunOptions } from '../generation/batches.js';
import { type Continuation, type ContinuationScore, scoreContinuations } from '../generation/score-continuations.js';
import { chosen } from '../metrics/choices.js';
import type { MetricResult } from '../metrics/metric.js';
import type { LoadedModel } from '../models/load.js';
import type { Choice } from '../tasks/choices.js';
import type { Example, Task } from '../tasks/task.js';
import type { Evaluation } from './evaluation.js';

/**
 * The tokens of a choice behind its context: spaces at the end of the context go over to the continuation; a
 * decoder-only model gets both as one text, of which the context's tokens are split off; an empty context is the start
 * token (or the end token, for want of one). What is too long for the model loses its beginning.
 *
 * @param room most tokens that the model reads: context and continuation without its last token.
 * Errors: a UserError where nothing of the continuation is left to be scored.
 */
function tokenizeChoice(
  { context: given, continuation }: Pick<Choice, 'context' | 'continuation'>,
  { model, tokenizer }: LoadedModel,
  room = Number.POSITIVE_INFINITY,
): Continuation {
  const text = given.trimEnd();
  const rest = given.slice(text.length) + continuation;
  let context: readonly number[];
  let ids: readonly number[];
  if (model.kind === 'encoder-decoder') {
    context = tokenizer.encode(text);
    ids = tokenizer.encode(rest, { specialTokens: false });
  } else if (text === '') {
    ids = tokenizer.encode(rest, { specialTokens: false });
    const start = tokenizer.beginningOfSequence ?? tokenizer.endOfSequence;
    if (ids[0] === start) [context, ids] = [ids.slice(0, 1), ids.slice(1)];
    else context = [start];
  } else {
    context = tokenizer.encode(text);
    ids = tokenizer.encode(text + rest).slice(context.length);
  }
  if (ids.length === 0) throw new UserError(`the choice "${continuation}" has no tokens of its own behind its context`);
  const over = model.kind === 'encoder-decoder' ? 0 : Math.max(0, context.length + ids.length - 1 - room);
  if (over >= context.length && over > 0)
    throw new UserError(`the choice "${continuation}" alone is too long for the model`);
  return { context: context.slice(over), ids };
}

/** What scoring the examples of a task with choices takes. */
interface ScoreChoicesOptions extends RunOptions {
  /** Soft prompt [P, E], in front of every context. */
  readonly prompt?: Tensor;
  /** Exemplars in front of each example's contexts; by default none. */
  readonly prefixes?: readonly string[];
  /** Longer sequences lose their beginning, in tokens; 0: where the model's own limit says so. */
  readonly maxInputLength?: number;
  readonly onResult?: (example: number, scores: readonly ContinuationScore[]) => void;
}

/**
 * How likely the choices of every example are. Errors: a UserError with the example's place for a choice that has no
 * tokens of its own or is too long by itself.
 */
export async function scoreChoiceExamples(
  loaded: LoadedModel,
  examples: readonly Example[],
  { prefixes, maxInputLength = 0, prompt, ...run }: ScoreChoicesOptions = {},
): Promise<ContinuationScore[][]> {
  const { model } = loaded;
  // An encoder-decoder reads the context alone, and T5's positions have no limit.
  const positions = model.kind === 'decoder-only' ? model.shape.positions : undefined;
  const own = positions === undefined ? Number.POSITIVE_INFINITY : positions - (prompt?.size(0) ?? 0);
  const room = Math.min(own, maxInputLength || Number.POSITIVE_INFINITY);
  const questions = examples.map(({ choices, location }, i) =>
    choices!.choices.map(({ context, continuation }) => {
      try {
        return tokenizeChoice({ context: (prefixes?.[i] ?? '') + context, continuation }, loaded, room);
      } catch (error) {
        throw reworded(error, (message) => `${location}: ${message}`);
      }
    }),
  );
  return scoreContinuations(model, questions, { ...run, prompt });
}

/** Tokens that the longest choice takes behind its context. */
export function longestContinuation(examples: readonly Example[], { tokenizer }: LoadedModel): number {
  const texts = new Set(examples.flatMap(({ choices }) => choices!.choices.map(({ continuation }) => continuation)));
  return [...texts].reduce((most, text) => Math.max(most, tokenizer.encode(text).length), 0);
}

/** Scores choices by the task's metrics. `output` is the choice that the first metric takes. */
export function scoreChoiceResults(
  task: Task,
  examples: readonly Pick<Example, 'input' | 'references' | 'choices'>[],
  scores: readonly (readonly ContinuationScore[])[],
): Evaluation {
  const takes = task.metrics[0].metric.takes ?? ((scored) => chosen(scored));
  const answers = examples.map(({ references, choices }, i) => {
    const { choices: all, right } = choices!;
    const scored = all.map(({ text }, c) => ({ text, ...scores[i]![c]! }));
    const output = all[takes(scored)]!.continuation.trim();
    return { output, references, choices: scored, right };
  });
  const results = task.metrics.map((metric) => metric.score(answers));
  const [result] = results as [MetricResult];
  const alone = (i: number) => results.map(({ scoreOf, statistics }) => scoreOf(statistics[i]!, 1));
  return {
    metric: task.metrics[0].name,
    score: result.score,
    n: result.n,
    signature: result.signature,
    result,
    results,
    samples: examples.map(({ input, references }, i) => ({
      input,
      output: answers[i]!.output,
      trimmed: answers[i]!.output,
      references,
      score: alone(i)[0]!,
      ...(results.length > 1 && { scores: alone(i) }),
      choices: answers[i]!.choices,
      right: answers[i]!.right,
    })),
  };
}
