// What a soft prompt absorbed: the loss that is left behind it, what it does to the gradient that stage 2 begins with,
// and the words that its rows are nearest to. Measured at the weights before training.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson } from '@promot/core/base';
import { score } from '@promot/core/generation';
import { type LoadedModel, tokenizeExample } from '@promot/core/models';
import type { Task } from '@promot/core/tasks';
import { noGrad, scope, type Tensor } from '@promot/torch';
import { z } from 'zod';
import { compareGradients, gradientAlignment, gradientOf, parameterGroups } from '../gradient-alignment.js';

const loss = z.strictObject({ without: z.number(), behind: z.number() });
const absorbed = z.strictObject({
  /** Nats a token of the target's validation answers. */
  loss,
  /** Of each of stage 2's first batches, over all parameters: fine-tuning's gradient and the one behind the prompt. */
  gradients: z.array(z.strictObject({ without: z.number(), behind: z.number(), cosine: z.number().optional() })),
  /** Cosine of the gradient with the format gradient (the targets shuffled; the paper's section 3.3). */
  format: z.strictObject({ without: z.number().optional(), behind: z.number().optional() }),
  /** For each row of the prompt, the tokens whose embeddings have the highest cosine with it. */
  nearest: z.array(z.array(z.strictObject({ token: z.string(), cosine: z.number() }))),
});
export type Absorbed = z.infer<typeof absorbed>;

const batches = 4;
const batchSize = 16;
const nearestTokens = 3;

interface AbsorbedOptions {
  /** Validation examples. */
  readonly limit: number;
  readonly signal?: AbortSignal;
}

/** @param prompt [P, E], as stage 1 left it */
export async function measureAbsorbed(
  loaded: LoadedModel,
  task: Task,
  prompt: Tensor,
  { limit, signal }: AbsorbedOptions,
): Promise<Absorbed> {
  const { model, tokenizer } = loaded;
  const tokenized = async (split: 'train' | 'validation', count: number) =>
    (await task.load(split)).slice(0, count).map((example) => tokenizeExample(example, tokenizer, model.kind));
  const validation = await tokenized('validation', limit);
  const lossOf = async (attached?: Tensor) => {
    const found = await score(model, validation, { prompt: attached, signal });
    const tokens = found.reduce((sum, one) => sum + one.tokens, 0);
    return found.reduce((sum, one) => sum + one.loss * one.tokens, 0) / tokens;
  };
  const training = await tokenized('train', batches * batchSize);
  const all = parameterGroups(model).get('all')!;
  const gradients: Absorbed['gradients'] = [];
  for (let i = 0; i < training.length; i += batchSize) {
    const options = { batchSize, labelSmoothing: 0, signal };
    const batch = training.slice(i, i + batchSize);
    const without = await gradientOf(model, batch, options);
    const behind = await gradientOf(model, batch, { ...options, prompt });
    const { norm, formatNorm, cosine } = compareGradients(all, without, behind);
    for (const gradient of [...without.values(), ...behind.values()]) gradient.dispose();
    gradients.push({ without: norm, behind: formatNorm, ...(cosine !== undefined && { cosine }) });
  }
  const formatOf = async (attached?: Tensor) => {
    const options = { prompt: attached, seed: 0, batchSize, labelSmoothing: 0, signal };
    return (await gradientAlignment(loaded, training, options)).groups.all!.cosine;
  };
  return {
    loss: { without: await lossOf(), behind: await lossOf(prompt) },
    gradients,
    format: { without: await formatOf(), behind: await formatOf(prompt) },
    nearest: nearestWords(loaded, prompt),
  };
}

/** For each row of the prompt [P, E] the tokens with the nearest embeddings, by cosine. */
function nearestWords({ model, tokenizer }: LoadedModel, prompt: Tensor): Absorbed['nearest'] {
  return noGrad(() =>
    scope(() => {
      const known = Math.min(tokenizer.vocabularySize, model.embedding.size(0));
      const table = model.embedding.narrow(0, 0, known).float(); // [V, E]
      const lengths = table.square().sum(1).sqrt().add(1e-12); // [V]
      const rows = prompt.float();
      const own = rows.square().sum(1).sqrt().add(1e-12).unsqueeze(1); // [P, 1]
      const cosines = rows.matmul(table.transpose(0, 1)).div(lengths).div(own); // [P, V]
      const { values, indices } = cosines.topk(Math.min(nearestTokens, known), 1);
      const [best, ids] = [values.toNumbers(), indices.toNumbers()];
      const columns = values.size(1);
      return Array.from({ length: rows.size(0) }, (_, row) =>
        Array.from({ length: columns }, (_column, i) => ({
          token: tokenizer.decode([ids[row * columns + i]!], { specialTokens: true }),
          cosine: best[row * columns + i]!,
        })),
      );
    }),
  );
}

/** Where it is written what an arm's prompt absorbed. */
export function absorbedPath(out: string, arm: string): string {
  return join(out, 'jobs', arm, 'absorbed.json');
}

/** What an arm's prompt absorbed, where it was measured. */
export function readAbsorbed(out: string, arm: string): Absorbed | undefined {
  const path = absorbedPath(out, arm);
  return existsSync(path) ? readJson(path, absorbed) : undefined;
}
