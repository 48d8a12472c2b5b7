// From a task's examples to the k-shot prompts that a model gets, fitted to its limits.

import { UserError } from '../base/errors.js';
import type { LoadedModel } from '../models/load.js';
import { tokenizeInput } from '../models/tokenize.js';
import { fewShotPrompts } from '../tasks/few-shot.js';
import type { Example, Task } from '../tasks/task.js';

interface PromptLimits {
  /** Exemplars in front of every input. */
  readonly shots: number;
  /** Draws the exemplars. */
  readonly seed: number;
  /** Rows of the soft prompt, which take places, too. */
  readonly promptRows: number;
  /** Room for the answer, in tokens. */
  readonly newTokens: number;
  /** In tokens; 0: none. */
  readonly maxInputLength: number;
}

/**
 * The texts that the model gets for `examples`, in their order, and notes on what it took to fit them.
 * Errors: a UserError for data at fault or too few exemplars.
 */
export async function taskPrompts(
  { model, tokenizer }: LoadedModel,
  task: Task,
  examples: readonly Example[],
  { shots, seed, promptRows, newTokens, maxInputLength }: PromptLimits,
): Promise<{ inputs: string[]; notes: string[] }> {
  if (shots > 0 && task.conversation)
    throw new UserError(`task ${task.name}: conversations have no exemplars in front (shots)`);
  const { positions } = model.shape;
  if (positions !== undefined && positions <= promptRows + newTokens)
    throw new UserError(
      `task ${task.name}: ${newTokens} new tokens${promptRows > 0 ? ` and ${promptRows} prompt rows` : ''} leave ` +
        `no room for an input in the model's ${positions} positions`,
    );
  const maxPromptTokens = Math.min(
    positions === undefined ? Number.POSITIVE_INFINITY : positions - promptRows - newTokens,
    maxInputLength || Number.POSITIVE_INFINITY,
  );
  const make = fewShotPrompts({
    train: shots > 0 ? await task.load('train') : [],
    shots,
    seed,
    maxInputTokens: task.maxInputTokens,
    maxPromptTokens,
    countTokens: (text) => tokenizeInput(text, tokenizer, model.kind).length,
  });
  const prompts = examples.map(make);
  const count = (test: (prompt: (typeof prompts)[number]) => boolean) => prompts.filter(test).length;
  const [cut, dropped, over] = [count((p) => p.cut), count((p) => p.dropped > 0), count((p) => p.overLimit)];
  const of = `of ${prompts.length}`;
  return {
    inputs: prompts.map(({ text }) => text),
    notes: [
      ...(cut > 0 ? [`${cut} ${of} inputs were cut to fit`] : []),
      ...(dropped > 0 ? [`${dropped} ${of} prompts have fewer than ${shots} exemplars, to fit`] : []),
      ...(over > 0 ? [`${over} ${of} prompts are longer than the limit of ${maxPromptTokens} tokens`] : []),
    ],
  };
}
