// The first steps of both stages of ProMoT, and of fine-tuning, on Gemma 3 270M: losses equal PyTorch + Transformers
// (golden/real_gemma.py). PROMOT_TEST_MODELS names a folder that holds gemma-3-270m; the data lies in ../shared/data.
// Takes some minutes and 6 GB.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AdamW, keep, noGrad, type Tensor, tensor } from '@promot/torch';
import { afterEach, describe, expect, test } from 'vitest';
import { type LoadedModel, loadFolder } from '../src/models/load.js';
import type { TokenizedExample } from '../src/models/model.js';
import { trainLoop } from '../src/training/loop.js';
import { toMicroBatches } from '../src/training/micro-batch.js';
import { crossEntropy } from '../src/training/objectives/cross-entropy.js';

interface Golden {
  /** Rows of snli/train.jsonl in each step's batch. */
  readonly batches: readonly (readonly number[])[];
  /** Tokens whose embeddings the prompt begins with. */
  readonly rows: readonly number[];
  /** Losses of each step. */
  readonly prompt: readonly number[];
  readonly promot: readonly number[];
  readonly fineTune: readonly number[];
}

const golden: Golden = JSON.parse(readFileSync(new URL('../golden/real-gemma.json', import.meta.url), 'utf8'));
const file = fileURLToPath(new URL('../../../../shared/data/snli/train.jsonl', import.meta.url));
const folder = join(process.env.PROMOT_TEST_MODELS ?? '', 'gemma-3-270m');
const there = process.env.PROMOT_TEST_MODELS !== undefined && existsSync(folder) && existsSync(file);

let loaded: LoadedModel;
afterEach(() => loaded?.dispose());

function examples(): readonly (readonly TokenizedExample[])[] {
  const records = readFileSync(file, 'utf8').split('\n');
  const { tokenizer } = loaded;
  const ids = (text: string) => tokenizer.encode(text, { specialTokens: false });
  return golden.batches.map((rows) =>
    rows.map((row) => {
      const { premise, hypothesis, label } = JSON.parse(records[row]!) as Record<string, string>;
      const asked = `Premise: ${premise}\nHypothesis: ${hypothesis}\nDoes the premise entail the hypothesis? Answer:`;
      return {
        input: [tokenizer.beginningOfSequence!, ...ids(asked)],
        target: [...ids(` ${label}`), tokenizer.endOfSequence],
      };
    }),
  );
}

/** The losses of the golden batches, with AdamW and ten steps of warm-up. */
async function losses(rate: number, trained: ReadonlyMap<string, Tensor>, prompt?: Tensor): Promise<number[]> {
  const batches = examples();
  const found: number[] = [];
  const optimizer = new AdamW(trained, { beta2: 0.98 });
  await trainLoop({
    model: loaded.model,
    trained,
    optimizer,
    batch: (step) => toMicroBatches(batches[step - 1]!, 4, prompt),
    learningRate: (step) => rate * Math.min(1, step / 10),
    steps: batches.length,
    loss: (pass) => crossEntropy.loss(pass, { labelSmoothing: 0, zLoss: 0 }),
    dropout: 0,
    seed: 0,
    gradientClip: 1,
    afterStep: async ({ loss }) => {
      found.push(loss);
      return true;
    },
  });
  optimizer.dispose();
  return found;
}

function expectClose(found: readonly number[], wanted: readonly number[]): void {
  expect(found).toHaveLength(wanted.length);
  for (const [i, loss] of found.entries())
    expect(Math.abs(loss - wanted[i]!), `step ${i + 1}: ${loss}`).toBeLessThan(1e-4 * wanted[i]!);
}

describe.skipIf(!there)('Gemma 3 270M on SNLI (skipped without PROMOT_TEST_MODELS)', { timeout: 1_800_000 }, () => {
  test('ProMoT: the prompt, then the model behind it', async () => {
    loaded = loadFolder(folder, 'float32');
    const rows = tensor(golden.rows, { dtype: 'int64' });
    const prompt = keep(noGrad(() => loaded.model.embedding.indexSelect(0, rows)));
    // Transformers' embedding layer scales its rows; a prompt made of them is as they come out of it.
    const scale = Math.fround(Math.sqrt(loaded.model.shape.width));
    noGrad(() => prompt.mul_(scale));
    expectClose(await losses(0.1, new Map([['prompt', prompt]]), prompt), golden.prompt);
    expectClose(await losses(1e-5, loaded.model.parameters, prompt), golden.promot);
    prompt.dispose();
  });

  test('fine-tuning', async () => {
    loaded = loadFolder(folder, 'float32');
    expectClose(await losses(1e-5, loaded.model.parameters), golden.fineTune);
  });
});
