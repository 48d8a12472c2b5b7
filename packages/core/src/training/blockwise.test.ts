// The gradient block by block against the ordinary one, and with graphs that are made anew.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { deriveSeed, keep, noGrad, scope, type Tensor, uniform, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { goldenFolder, goldenModels } from '../../test/golden-folders.js';
import { attachLora } from '../adapters/lora.js';
import { Dropout } from '../models/dropout.js';
import { loadFolder } from '../models/load.js';
import { predictedIds, type TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';
import { blockwise } from './blockwise.js';
import { sumOfLosses } from './objectives/index.js';
import { TableGradient } from './table-gradient.js';

const examples: TokenizedExample[] = [
  { input: [5, 6, 7, 8, 9, 10, 11], target: [12, 13, 1] },
  { input: [7, 5], target: [9, 1] },
];
const targets = keep(idTensor(examples.flatMap(predictedIds)));
afterAll(() => targets.dispose());

type Way = 'ordinary' | 'kept' | 'anew';

describe.each(goldenModels)('%s', (name) => {
  const { model, dispose } = loadFolder(`${goldenFolder}/${name}`, 'float32');
  const prompt = keep(noGrad(() => uniform([3, model.shape.width], -0.5, 0.5, 1)));
  afterAll(() => {
    prompt.dispose();
    dispose();
  });

  /** The loss and all gradients. */
  function gradients(way: Way, trained: ReadonlyMap<string, Tensor>, withPrompt: boolean, least = Infinity) {
    for (const tensor of trained.values()) tensor.requiresGrad = true;
    const dropout = new Dropout(0.1, deriveSeed(3, 1));
    const work = () => {
      const logits = model.logits(examples, { dropout, ...(withPrompt && { prompt }) });
      return sumOfLosses(logits, targets, { labelSmoothing: 0.1, zLoss: 0 });
    };
    const whole = () => {
      const loss = work();
      loss.backward();
      return loss.detach();
    };
    const table = TableGradient.of(model, trained.values(), least);
    const pass = () => (way === 'ordinary' ? whole() : blockwise(model, dropout, { recompute: way === 'anew' }, work));
    const loss = scope(() => (table ? table.pass(pass) : pass()).item());
    table?.finish();
    const found = new Map(
      [...trained].map(([key, tensor]) => [key, scope(() => tensor.grad?.toNumbers() ?? [])] as const),
    );
    for (const tensor of trained.values()) {
      tensor.clearGrad();
      tensor.requiresGrad = false;
    }
    return { loss, found };
  }

  function expectEqual(trained: ReadonlyMap<string, Tensor>, withPrompt: boolean, least?: number) {
    const ordinary = gradients('ordinary', trained, withPrompt, least);
    const left = watchTensors();
    const kept = gradients('kept', trained, withPrompt, least);
    const anew = gradients('anew', trained, withPrompt, least);
    expect(left()).toBe(0);
    // The order of sums is the same whether graphs are kept or made anew.
    expect(anew.loss).toBe(kept.loss);
    // The names alone: vitest takes minutes to show how long lists differ.
    const others = [...kept.found].filter(([key, one]) => !isDeepStrictEqual(anew.found.get(key), one));
    expect(others.map(([key]) => key)).toEqual([]);
    expect(kept.loss).toBe(ordinary.loss);
    for (const [key, wanted] of ordinary.found) {
      const size = Math.max(1e-3, ...wanted.map(Math.abs));
      const found = kept.found.get(key)!;
      expect(found.length, key).toBe(wanted.length);
      const apart = wanted.map((one, i) => Math.abs(one - found[i]!));
      expect(Math.max(0, ...apart) / size, key).toBeLessThan(1e-5);
    }
    return ordinary.found;
  }

  test('the model, with a prompt and without', () => {
    expectEqual(model.parameters, false);
    expectEqual(model.parameters, true);
  });

  test('the model, its table apart', () => {
    expectEqual(model.parameters, true, 1);
  });

  test('the prompt', () => {
    const [gradient] = expectEqual(new Map([['prompt', prompt]]), true).values();
    expect(Math.max(...gradient!.map(Math.abs))).toBeGreaterThan(0);
  });

  test('LoRA', () => {
    const lora = attachLora(model, 2, 5, 'all');
    expectEqual(lora.parameters, true);
    lora.detach();
  });
});

const child = fileURLToPath(new URL('../../test/memory-child.mjs', import.meta.url));

test.skipIf(process.platform !== 'linux').each(['llama', 't5-v1.1'])(
  '%s: graphs made anew take less memory',
  (name) => {
    const peak = (anew: boolean) =>
      Number(execFileSync(process.execPath, [child, `${goldenFolder}/${name}`, String(anew)], { encoding: 'utf8' }));
    const [kept, anew] = [peak(false), peak(true)];
    // About 0.4; the heap of a busy machine moves both.
    expect(anew / kept, `${anew / 1e6} of ${kept / 1e6} MB`).toBeLessThan(0.75);
  },
);
