// A prompt read once for all passes of a step, against one that each pass reads anew.
import { fileURLToPath } from 'node:url';
import { keep, randn, scope, type Tensor, watchTensors } from '@promot/torch';
import { describe, expect, test } from 'vitest';
import { loadFolder } from '../models/load.js';
import { type LanguageModel, predictedIds } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import type { MicroBatch } from './micro-batch.js';
import { sumOfLosses } from './objectives/index.js';
import { SharedPrompts } from './shared-prompts.js';

const golden = (name: string) => fileURLToPath(new URL(`../../golden/models/${name}`, import.meta.url));
const examples = [
  [
    { input: [5, 6, 7, 5, 1], target: [8, 9, 1] },
    { input: [11, 5, 1], target: [8, 1] },
  ],
  [{ input: [9, 9, 12, 1], target: [30, 5, 1] }],
  [{ input: [3], target: [4] }],
];

/** Gradients of the prompt and of all parameters over the passes. */
function gradients(model: LanguageModel, passes: readonly MicroBatch[], shared: boolean): number[][] {
  const trained = [passes[0]!.prompt!, ...model.parameters.values()];
  for (const tensor of trained) tensor.requiresGrad = true;
  const prompts = new SharedPrompts(model, shared ? passes : [], passes, { rate: 0, seed: 0 });
  for (const pass of passes)
    scope(() => {
      const options = prompts.inFrontOf(pass);
      expect('prefix' in options).toBe(shared && pass.prompt === passes[0]!.prompt);
      const logits = model.logits(pass.examples, options);
      sumOfLosses(logits, idTensor(pass.examples.flatMap(predictedIds)), { labelSmoothing: 0.1, zLoss: 0 }).backward();
    });
  prompts.backward();
  prompts.dispose();
  return trained.map((tensor) => {
    const found = scope(() => (tensor.grad as Tensor).toNumbers());
    tensor.clearGrad();
    tensor.requiresGrad = false;
    return found;
  });
}

describe.each(['llama', 'gemma3_text'])('%s', (name) => {
  test('all gradients are the same, and no tensor is left', () => {
    const { model, dispose } = loadFolder(golden(name), 'float32');
    const prompt = keep(randn([4, model.shape.width], 1));
    const left = watchTensors();
    // The last pass has another prompt, as in a mixture of tasks: nobody shares it.
    const other = keep(randn([2, model.shape.width], 2));
    const passes = examples.map((of, i) => ({ examples: of, prompt: i === 2 ? other : prompt }));
    const [once, anew] = [gradients(model, passes, true), gradients(model, passes, false)];
    expect(once.flat().length).toBeGreaterThan(1000);
    once.forEach((gradient, i) => {
      const apart = gradient.map((x, j) => Math.abs(x - anew[i]![j]!));
      expect(Math.max(...apart)).toBeLessThan(1e-4);
    });
    other.dispose();
    expect(left()).toBe(0);
    prompt.dispose();
    dispose();
  });

  test('an empty input keeps a pass from sharing: its first token is predicted at the last row', () => {
    const { model, dispose } = loadFolder(golden(name), 'float32');
    const prompt = keep(randn([4, model.shape.width], 1));
    const passes = [[{ input: [], target: [4, 1] }], [{ input: [5, 6], target: [7] }]].map((of) => ({
      examples: of,
      prompt,
    }));
    const prompts = new SharedPrompts(model, passes, passes, { rate: 0, seed: 0 });
    expect(passes.map((pass) => Object.keys(prompts.inFrontOf(pass)))).toEqual([['prompt'], ['prompt']]);
    prompts.dispose();
    prompt.dispose();
    dispose();
  });
});
