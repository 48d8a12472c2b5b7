// Everything on a device other than the CPU: see device.ts beside this file for what stands in for a GPU.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arange, Linear, libtorch, ones, scope, type Tensor, withDevice } from '@promot/torch';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attachLora } from '../../core/src/adapters/lora.js';
import { readLoraAdapter } from '../../core/src/adapters/lora-adapter.js';
import { readPromptAdapter } from '../../core/src/adapters/peft.js';
import { initPrompt } from '../../core/src/adapters/soft-prompt.js';
import { RunFolder } from '../../core/src/artifacts/run-folder.js';
import { UserError } from '../../core/src/base/errors.js';
import { generate } from '../../core/src/generation/generate.js';
import { score } from '../../core/src/generation/score.js';
import { scoreChoices } from '../../core/src/generation/score-choices.js';
import { chooseDevice } from '../../core/src/models/device.js';
import { type LoadedModel, loadFolder } from '../../core/src/models/load.js';
import { trainLoop } from '../../core/src/training/loop.js';
import { toMicroBatches } from '../../core/src/training/micro-batch.js';
import { crossEntropy } from '../../core/src/training/objectives/index.js';
import { makeOptimizer } from '../../core/src/training/optimizers.js';
import { type Watch, watchOnMeta } from '../../core/test/device.js';
import { goldenModel } from '../../core/test/small-task.js';
import { gradientAlignment } from '../src/experiments/gradient-alignment.js';

const examples = Array.from({ length: 7 }, (_, i) => ({
  input: Array.from({ length: 3 + i }, (_, j) => 3 + i + j),
  target: [5 + i, ...(i % 2 ? [9] : []), 1],
}));
const inputs = examples.map(({ input }) => input);
/** Behind a beginning that they share, which is then read once. */
const sharers = inputs.map((input) => [...Array.from({ length: 20 }, (_, i) => 3 + i), ...input]);

let watch: Watch;
beforeEach(() => {
  watch = watchOnMeta();
});
afterEach(() => watch.stop());

const devicesOf = (tensors: Iterable<Tensor>) => new Set([...tensors].map(({ device }) => device));
const onMeta = new Set(['meta']);

test('the watch sees what it should', () => {
  scope(() => {
    const matrix = withDevice('meta', () => ones([2, 2]));
    const strange = ones([2]);
    new Linear(matrix).forward(strange);
    expect(watch.strays).toEqual(['promot::linears(cpu,meta)']);
    expect(watch.reads).toBe(0);
    expect(withDevice('meta', () => arange(2)).toNumbers()).toEqual([0, 0]);
    expect(watch.reads).toBe(1);
  });
});

describe.each(['t5-v1.1', 'llama'])('%s', (name) => {
  let loaded: LoadedModel;
  let prompt: Tensor;
  beforeEach(() => {
    loaded = withDevice('meta', () => loadFolder(goldenModel(name), 'bfloat16'));
    prompt = initPrompt('vocabulary', 4, { ...loaded, seed: 0 });
  });

  test.each([
    ['adafactor', 'model'],
    ['adafactor', 'prompt'],
    ['adamw', 'model'],
    ['sgd', 'model'],
    ['adafactor', 'lora'],
  ] as const)('training: %s on the %s, in passes, with dropout and clipping; checkpoints', async (kind, what) => {
    const { model } = loaded;
    const lora = what === 'lora' ? attachLora(model, 2, 0, 'all') : undefined;
    const trained = what === 'prompt' ? new Map([['prompt', prompt]]) : (lora ?? model).parameters;
    const optimizer = makeOptimizer(
      trained,
      { optimizer: kind, firstStep: 0, beta2: 0.999, weightDecay: kind === 'adafactor' ? 0 : 0.1 } as Parameters<
        typeof makeOptimizer
      >[1],
      what !== 'model',
    );
    // Which kernels there are is found out once.
    await score(model, examples, { prompt });
    watch.reads = 0;
    const steps = 2;
    await trainLoop({
      model,
      trained,
      optimizer,
      steps,
      dropout: 0.1,
      seed: 0,
      gradientClip: 1,
      batch: () => toMicroBatches(examples, 3, prompt),
      learningRate: () => 0.1,
      loss: (pass) => crossEntropy.loss(pass, { labelSmoothing: 0.1, zLoss: 0.1 }),
      afterStep: async () => true,
    });
    expect(watch.strays).toEqual([]);
    // The loss and the norms of the gradients, whatever the number of passes and parameters.
    expect(watch.reads).toBe(2 * steps);
    expect(watch.calls.get('promot::dropout')).toBeGreaterThan(0);
    // Sequences side by side in one kernel, where there is one.
    expect(watch.calls.has('aten::_flash_attention_forward')).toBe(name === 'llama');
    // One kernel a step for parameters of so few numbers, on every device.
    const fused = kind === 'adamw' ? steps : undefined;
    expect(watch.calls.get('aten::_fused_adamw_')).toBe(fused);
    expect(devicesOf(model.parameters.values())).toEqual(onMeta);
    expect(optimizer.steps).toBe(steps);
    const state = optimizer.state();
    if (kind !== 'sgd' || what === 'model') expect(devicesOf(state.values())).toEqual(onMeta);

    const folder = mkdtempSync(join(tmpdir(), 'promot-device-'));
    try {
      const run = await RunFolder.create(join(folder, 'run'), { method: 'm', model: 'm', tasks: ['t'] }, {});
      const at = { stage: what, step: steps, candidates: [], seconds: 0 };
      run.checkpoints.save(at, trained, state);
      run.checkpoints.restore(at, trained, optimizer);
      await run.unlock();
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(devicesOf([...trained.values(), ...optimizer.state().values()])).toEqual(onMeta);
    lora?.merge();
    expect(watch.strays).toEqual([]);
  });

  test.each([1, 3])('generation with %d beams, with and without a prompt and a shared beginning', async (beams) => {
    for (const own of [inputs, sharers])
      for (const attached of [undefined, prompt])
        await generate(loaded.model, own, {
          beams,
          maxNewTokens: 4,
          minNewTokens: 2,
          prompt: attached,
          choices: [
            [5, 6, 1],
            [7, 1],
          ],
        });
    expect(watch.strays).toEqual([]);
    // Fused attention, also with T5's bias, beyond the plain products that a CPU is faster with.
    expect(watch.calls.get('aten::scaled_dot_product_attention')).toBeGreaterThan(0);
    expect(watch.calls.get('aten::baddbmm')).toBeUndefined();
    // Beams change places: with all scores equal, all go on from the first.
    if (beams > 1) expect(watch.calls.get('aten::index_select')).toBeGreaterThan(10);
  });

  test('likelihoods and the alignment of gradients', async () => {
    const { model } = loaded;
    await score(model, examples, { prompt });
    await scoreChoices(
      model,
      sharers,
      [
        [5, 1],
        [6, 7, 1],
      ],
      { prompt },
    );
    await gradientAlignment(loaded, examples, { prompt, seed: 0 });
    expect(watch.strays).toEqual([]);
  });

  test('prompts and adapters go where the model is', () => {
    const { model, tokenizer } = loaded;
    const made = ['uniform', 'labels', 'text:Yes'].map((init) =>
      initPrompt(init, 3, { model, tokenizer, labels: ['Yes', 'No'], seed: 1 }),
    );
    const adapters = [readPromptAdapter(goldenModel(`${name}/prompt`), model)];
    const lora = readLoraAdapter(goldenModel(`${name}/lora`), model);
    expect(devicesOf([...made, ...adapters, ...lora.parameters.values()])).toEqual(onMeta);
    expect(watch.strays).toEqual([]);
  });
});

describe('chooseDevice', () => {
  test('auto is CUDA where libtorch can use it', () => {
    const device = libtorch().cuda ? 'cuda' : 'cpu';
    expect(chooseDevice()).toBe(device);
    expect(chooseDevice('auto')).toBe(device);
  });
  test.skipIf(libtorch().cuda)('cuda where there is none is refused', () => {
    expect(() => chooseDevice('cuda')).toThrow(UserError);
    expect(() => chooseDevice('cuda')).toThrow(/^setting device: cuda cannot be had: .*promot doctor/);
  });
});
