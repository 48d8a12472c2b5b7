// The soft prompt: P trainable rows in front of the embedded input (Lester et al. 2021), and how they start.
import { existsSync } from 'node:fs';
import { deriveSeed, keep, noGrad, scope, type Tensor, tensor, uniform, withDevice } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { LanguageModel } from '../models/model.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { readPromptAdapter } from './peft.js';

/**
 * How a prompt starts:
 * `vocabulary`: rows of the embedding drawn from the first 5,000 (the paper is silent; Lester et al. found it best
 * without knowledge of the task); `labels`: the labels' embeddings, the rest as `vocabulary`; `text:...`: the text's
 * embeddings, repeated to fill; `uniform`: uniform in +-0.5 (prompt-tuning's default); anything else: a folder with a
 * PEFT adapter.
 */
type PromptInit = string;

/** Whether a prompt starts from an adapter's folder. */
export function startsFromAdapter(init: PromptInit): boolean {
  return !['vocabulary', 'labels', 'uniform'].includes(init) && !init.startsWith('text:');
}

const commonRows = 5000;

/** A new prompt [P, E] in float32, which the caller disposes. Throws UserError where the source does not fit. */
export function initPrompt(
  init: PromptInit,
  length: number,
  {
    model,
    tokenizer,
    labels,
    seed,
  }: { model: LanguageModel; tokenizer: Tokenizer; labels?: readonly string[]; seed: number },
): Tensor {
  const { width } = model.shape;
  const sample = (count: number) => {
    const rows = Math.min(commonRows, tokenizer.vocabularySize, model.embedding.size(0));
    return Array.from({ length: count }, (_, i) => deriveSeed(seed, i) % rows);
  };
  const rowsOf = (ids: readonly number[]) => {
    const table = model.blocks.values(model.embedding);
    const places = tensor(BigInt64Array.from(ids, BigInt)).toDevice(table.device);
    const rows = table.indexSelect(0, places).toDevice(model.embedding.device);
    return rows.float().mul(model.shape.embeddingScale);
  };
  return keep(
    onDeviceOf(model, () =>
      scope(() => {
        if (init === 'vocabulary') return rowsOf(sample(length));
        if (init === 'uniform') return uniform([length, width], -0.5, 0.5, seed);
        if (init === 'labels') {
          if (!labels?.length) throw new UserError('promptInit: "labels" needs a task with labels; this task has none');
          // A label of several tokens starts one row: their mean (prompt-tuning does so, too).
          const means = labels.map((label) => rowsOf(encoded(tokenizer, label)).mean(0).toNumbers());
          const rest = rowsOf(sample(Math.max(0, length - means.length))).toNumbers();
          return tensor([...means.flat(), ...rest].slice(0, length * width), { shape: [length, width] });
        }
        if (init.startsWith('text:')) {
          const ids = encoded(tokenizer, init.slice('text:'.length));
          return rowsOf(Array.from({ length }, (_, i) => ids[i % ids.length]!));
        }
        if (!existsSync(init))
          throw new UserError(
            `promptInit: "${init}" is neither vocabulary, labels, text:..., uniform nor an adapter's folder`,
          );
        const prompt = readPromptAdapter(init, model);
        if (prompt.size(0) !== length)
          throw new UserError(`promptInit: ${init} holds ${prompt.size(0)} rows, promptLength is ${length}`);
        return prompt;
      }),
    ),
  );
}

/** Without a graph, with tensors made where the model is. */
function onDeviceOf<T>(model: LanguageModel, work: () => T): T {
  return withDevice(model.embedding.device, () => noGrad(work));
}

function encoded(tokenizer: Tokenizer, text: string): number[] {
  const ids = tokenizer.encode(text, { specialTokens: false });
  if (ids.length === 0) throw new UserError(`promptInit: the text "${text}" has no tokens`);
  return ids;
}
