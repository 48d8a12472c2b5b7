// Greedy and beam search against Transformers, with and without a PEFT prompt: golden/make.py wrote what it generates.
import { readFileSync } from 'node:fs';
import { keep, type Tensor } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { countCompared } from '../../test/compared.js';
import { goldenFolder, goldenModels } from '../../test/golden-folders.js';
import { readPromptAdapter } from '../adapters/peft.js';
import { loadFolder } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { generate } from './generate.js';
import { score } from './score.js';

interface Case {
  name: string;
  prompted: boolean;
  beams: number;
  lengthPenalty: number;
  minNewTokens: number;
  maxNewTokens: number;
  /** With the end of sequence, where there is one. */
  outputs: number[][];
  scores: number[] | null;
}
interface Expected {
  batch: { inputIds: number[][]; targetIds: number[][] };
  losses: Record<'plain' | 'prompted', { loss: number }>;
  generation: { inputIds: number[][]; endIds: number[]; cases: Case[] };
}

describe.each(goldenModels)('%s', (name) => {
  const compared = countCompared('src/generation/golden.test.ts', name);
  const folder = `${goldenFolder}/${name}`;
  const { batch, losses, generation } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Expected;
  let model: LanguageModel;
  let prompt: Tensor;
  beforeAll(() => {
    ({ model } = loadFolder(folder, 'float32'));
    prompt = keep(readPromptAdapter(`${folder}/prompt`, model));
  });
  afterAll(() => {
    for (const tensor of [prompt, ...model.parameters.values()]) tensor.dispose();
  });

  const titled = generation.cases.map((one) => ({ ...one, title: `${one.name}${one.prompted ? ', prompted' : ''}` }));
  test.each(titled)(
    '$title',
    async ({ prompted, outputs, scores, beams, lengthPenalty, minNewTokens, maxNewTokens }) => {
      // The golden outputs were made one by one; these come from batches of inputs of different lengths.
      const options = { beams, lengthPenalty, minNewTokens, maxNewTokens, batchSize: 4 };
      const found = await generate(model, generation.inputIds, { ...options, prompt: prompted ? prompt : undefined });
      outputs.forEach((output, i) => {
        const ended = generation.endIds.includes(output.at(-1)!);
        expect(found[i]!.ids).toEqual(ended ? output.slice(0, -1) : output);
        expect(found[i]!.finished).toBe(ended);
        if (scores) expect(found[i]!.score).toBeCloseTo(scores[i]!, 4);
        compared(output.length + (scores ? 1 : 0));
      });
    },
  );

  test('scores of targets', async () => {
    const examples = batch.inputIds.map((input, i) => ({ input, target: batch.targetIds[i]! }));
    for (const kind of ['plain', 'prompted'] as const) {
      const scored = await score(model, examples, { batchSize: 2, prompt: kind === 'prompted' ? prompt : undefined });
      const tokens = scored.reduce((sum, one) => sum + one.tokens, 0);
      // The golden loss is the mean over the tokens of the whole batch.
      expect(scored.reduce((sum, one) => sum + one.loss * one.tokens, 0) / tokens).toBeCloseTo(losses[kind].loss, 4);
      compared(1);
    }
  });
});
