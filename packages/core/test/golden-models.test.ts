// Every architecture against PyTorch + Transformers + PEFT: golden/make.py wrote what they compute.
import { readFileSync } from 'node:fs';
import { Adafactor, grad, keep, noGrad, openSafetensors, scope, type Tensor, watchTensors } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPromptAdapter } from '../src/adapters/peft.js';
import { loadFolder } from '../src/models/load.js';
import type { LanguageModel, TokenizedExample } from '../src/models/model.js';
import { idTensor } from '../src/models/padding.js';
import type { Tokenizer } from '../src/tokenizer/tokenizer.js';
import { sumOfLosses } from '../src/training/objectives/index.js';
import { countCompared } from './compared.js';
import { goldenFolder, goldenModels } from './golden-folders.js';

interface Steps {
  learningRate: number;
  firstStep: number;
  losses: number[];
  lossAfter: number;
  weights?: Record<string, { sum: number; norm: number }>;
}
interface Expected {
  labelSmoothing: number;
  zLoss: number;
  tokens: { text: string; ids: number[] }[];
  batch: { inputTexts: string[]; targetTexts: string[]; inputIds: number[][]; targetIds: number[][] };
  losses: Record<'plain' | 'prompted', Record<'loss' | 'smoothed' | 'zLoss' | 'smoothedZLoss', number>>;
  gradients: Record<'plain' | 'prompted', Record<string, { shape: number[]; norm: number }>> & {
    sampleAbove: number;
    sampleStride: number;
  };
  steps: Record<'stage1' | 'stage1Late' | 'stage2' | 'fineTune', Steps>;
}

describe.each(goldenModels)('%s', (name) => {
  const compared = countCompared('test/golden-models.test.ts', name);
  const difference = (actual: Tensor, wanted: Tensor): number => {
    expect(actual.shape).toEqual(wanted.shape);
    compared(wanted.numel);
    return scope(() => actual.detach().float().sub(wanted.float()).abs().amax().item());
  };
  const folder = `${goldenFolder}/${name}`;
  const expected = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8')) as Expected;
  const golden = openSafetensors(`${folder}/expected.safetensors`);
  const examples: TokenizedExample[] = expected.batch.inputIds.map((input, i) => ({
    input,
    target: expected.batch.targetIds[i]!,
  }));
  const targets = keep(idTensor(expected.batch.targetIds.flat()));
  const smoothed = { labelSmoothing: expected.labelSmoothing, zLoss: 0 };
  let model: LanguageModel;
  let tokenizer: Tokenizer;
  let prompt: Tensor;

  const fresh = () => {
    for (const parameter of model?.parameters.values() ?? []) parameter.dispose();
    ({ model, tokenizer } = loadFolder(folder, 'float32'));
  };
  const meanLoss = (options: { labelSmoothing: number; zLoss: number }, withPrompt?: Tensor) =>
    sumOfLosses(model.logits(examples, { prompt: withPrompt }), targets, options).div(targets.numel);

  beforeAll(() => {
    fresh();
    prompt = keep(readPromptAdapter(`${folder}/prompt`, model));
  });
  afterAll(() => golden.close());

  test('tokens', () => {
    for (const { text, ids } of expected.tokens) expect(tokenizer.encode(text)).toEqual(ids);
    compared(expected.tokens.flatMap(({ ids }) => ids).length + expected.batch.inputIds.flat().length);
    expect(expected.batch.inputTexts.map((text) => tokenizer.encode(text))).toEqual(expected.batch.inputIds);
  });

  test('logits, with and without the prompt', () => {
    noGrad(() =>
      scope(() => {
        expect(difference(model.logits(examples), golden.tensor('plain.logits'))).toBeLessThan(1e-4);
        expect(difference(model.logits(examples, { prompt }), golden.tensor('prompted.logits'))).toBeLessThan(1e-4);
      }),
    );
  });

  test('the loss: plain, smoothed, with z-loss', () => {
    noGrad(() =>
      scope(() => {
        for (const [kind, attached] of [
          ['plain', undefined],
          ['prompted', prompt],
        ] as const) {
          const { labelSmoothing, zLoss } = expected;
          const wanted = expected.losses[kind];
          expect(meanLoss({ labelSmoothing: 0, zLoss: 0 }, attached).item()).toBeCloseTo(wanted.loss, 4);
          expect(meanLoss({ labelSmoothing, zLoss: 0 }, attached).item()).toBeCloseTo(wanted.smoothed, 4);
          expect(meanLoss({ labelSmoothing: 0, zLoss }, attached).item()).toBeCloseTo(wanted.zLoss, 4);
          expect(meanLoss({ labelSmoothing, zLoss }, attached).item()).toBeCloseTo(wanted.smoothedZLoss, 4);
          compared(4);
        }
      }),
    );
  });

  test('every gradient, with and without the prompt', () => {
    scope(() => {
      for (const [kind, attached] of [
        ['plain', undefined],
        ['prompted', prompt],
      ] as const) {
        const named = new Map(model.parameters);
        if (attached) named.set('prompt', attached);
        for (const parameter of named.values()) parameter.requiresGrad = true;
        const gradients = grad([meanLoss(smoothed, attached)], [...named.values()]);
        for (const parameter of named.values()) parameter.requiresGrad = false;
        const wanted = expected.gradients[kind];
        expect([...named.keys()].sort()).toEqual(Object.keys(wanted).sort());
        [...named.keys()].forEach((parameter, i) => {
          const gradient = gradients[i]!;
          const { norm, shape } = wanted[parameter]!;
          expect(gradient.shape).toEqual(shape);
          expect(Math.abs(gradient.norm().item() - norm), parameter).toBeLessThan(1e-4 * Math.max(1, norm));
          compared(1);
          const key = `${kind}.grad.${parameter}`;
          if (!golden.entries.has(key)) return;
          const flat = gradient.reshape(-1);
          const { sampleAbove, sampleStride } = expected.gradients;
          const sampled =
            flat.numel > sampleAbove ? flat.asStrided([Math.ceil(flat.numel / sampleStride)], [sampleStride], 0) : flat;
          expect(difference(sampled, golden.tensor(key).reshape(-1)), parameter).toBeLessThan(1e-4 * Math.max(1, norm));
        });
      }
    });
  });

  const run = (steps: Steps, trained: ReadonlyMap<string, Tensor>, attached: Tensor | undefined, options: object) => {
    const optimizer = new Adafactor(trained, { firstStep: steps.firstStep, ...options });
    const losses: number[] = [];
    let left: (() => number) | undefined;
    for (const parameter of trained.values()) parameter.requiresGrad = true;
    for (let step = 0; step < steps.losses.length; step++) {
      scope(() => {
        const loss = meanLoss(smoothed, attached);
        losses.push(loss.item());
        loss.backward();
        optimizer.step(steps.learningRate);
      });
      // The first step makes the optimizer's state.
      left ??= watchTensors();
    }
    for (const parameter of trained.values()) parameter.requiresGrad = false;
    // No step leaves a tensor behind.
    expect(left!()).toBe(0);
    losses.push(noGrad(() => scope(() => meanLoss(smoothed, attached).item())));
    optimizer.dispose();
    [...steps.losses, steps.lossAfter].forEach((wanted, step) => {
      expect(Math.abs(losses[step]! - wanted), `step ${step}: ${losses[step]} is not ${wanted}`).toBeLessThan(2e-4);
      compared(1);
    });
    for (const [parameter, { norm }] of Object.entries(steps.weights ?? {})) {
      expect(Math.abs(model.parameters.get(parameter)!.norm().item() - norm), parameter).toBeLessThan(1e-3);
      compared(1);
    }
  };
  const promptSetting = { factored: false, scaleByParameter: false };

  test('ten steps of prompt tuning, also with a late first step; then ten of the model behind that prompt', () => {
    const someNorm = () => [...model.parameters].findLast(([name]) => name.endsWith('norm.weight'))![1].toNumbers();
    const before = someNorm();
    const late = keep(noGrad(() => prompt.clone()));
    run(expected.steps.stage1Late, new Map([['prompt', late]]), late, promptSetting);
    expect(difference(late, golden.tensor('stage1Late.prompt'))).toBeLessThan(1e-3);
    const trained = keep(noGrad(() => prompt.clone()));
    run(expected.steps.stage1, new Map([['prompt', trained]]), trained, promptSetting);
    expect(difference(trained, golden.tensor('stage1.prompt'))).toBeLessThan(1e-3);
    expect(someNorm()).toEqual(before);
    run(expected.steps.stage2, model.parameters, trained, {});
    for (const entry of golden.entries.keys())
      if (entry.startsWith('stage2.weights.')) {
        const found = model.parameters.get(entry.slice('stage2.weights.'.length))!.detach();
        const apart = scope(() => found.float().sub(golden.tensor(entry).float()).abs().toNumbers());
        compared(apart.length);
        const [largest, ...others] = apart.sort((a, b) => b - a);
        // Adafactor divides by the gradient's own size: where it is all but zero, rounding decides the step's sign.
        expect(others[0], entry).toBeLessThan(2e-4);
        expect(largest, entry).toBeLessThan(5e-3);
      }
  });

  test('ten steps of fine-tuning without a prompt', () => {
    fresh();
    run(expected.steps.fineTune, model.parameters, undefined, {});
  });
});
