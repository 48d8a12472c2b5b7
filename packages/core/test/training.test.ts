// What a training run promises: only what should move moves, a resumed run equals an uninterrupted one, nothing leaks.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { noGrad, openSafetensors, scope, type Tensor, uniform, watchTensors, zeros } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readLoraAdapter } from '../src/adapters/lora-adapter.js';
import { readMetrics } from '../src/artifacts/metrics-file.js';
import { readSamples } from '../src/artifacts/samples-file.js';
import { UserError } from '../src/base/errors.js';
import { loadFolder } from '../src/models/load.js';
import type { LanguageModel } from '../src/models/model.js';
import { openModel, openPrompt } from '../src/open/open.js';
import { type TrainRequest, train, type WorkEvent } from '../src/training/train.js';
import { trainThroughKills } from './killed.js';
import { goldenModel, smallModel, smallSettings, smallTask, spoiltCopy } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const request = (out: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
  model: smallModel(),
  task,
  method: 'promot',
  out: join(folder, out),
  settings: smallSettings,
  ...more,
});

/** SHA-256 of the results of a run: the prompt and the model. */
function fingerprint(out: string): Record<string, string> {
  const files = ['prompt/adapter_model.safetensors', 'model/model.safetensors'].filter((f) =>
    existsSync(join(folder, out, f)),
  );
  return Object.fromEntries(
    files.map((f) => [
      f,
      createHash('sha256')
        .update(readFileSync(join(folder, out, f)))
        .digest('hex'),
    ]),
  );
}

interface Line {
  stage: string;
  step: number;
  loss?: number;
  evalLoss?: number;
  score?: number;
}
function metricsOf(out: string): Line[] {
  return readMetrics(join(folder, out)) as Line[];
}
const losses = (out: string) =>
  metricsOf(out).map(({ stage, step, loss, evalLoss, score }) => ({ stage, step, loss, evalLoss, score }));

describe('the two stages', () => {
  test('move the prompt alone, then the model alone; no tensor is left behind', async () => {
    const left = watchTensors();
    const events: WorkEvent[] = [];
    const result = await train(request('promot', { onEvent: (event) => events.push(event) }));
    expect(left()).toBe(0);
    expect(result.finished).toBe(true);
    expect(result.stages.map((s) => s.stage)).toEqual(['prompt', 'model']);

    scope(() => {
      const base = openSafetensors(join(smallModel(), 'model.safetensors'));
      const trained = openSafetensors(join(folder, 'promot/model/model.safetensors'));
      // Every matrix moved in stage 2 ...
      const moved = [...trained.entries.keys()].filter((name) => !trained.tensor(name).equal(base.tensor(name)));
      expect(moved.length).toBe(trained.entries.size);
      // ... and the prompt is the one that stage 1 chose, bit for bit.
      const best = result.stages[0]!.best.step;
      const checkpoint = openSafetensors(
        join(folder, `promot/checkpoints/prompt-${String(best).padStart(6, '0')}/trained.safetensors`),
      );
      const prompt = openSafetensors(join(folder, 'promot/prompt/adapter_model.safetensors'));
      expect(prompt.tensor('prompt_embeddings').equal(checkpoint.tensor('prompt'))).toBe(true);
    });
  });

  test('a prompt rate larger than the embeddings is warned of, a smaller one is not', async () => {
    const notes: string[] = [];
    const onEvent = (event: WorkEvent) => event.type === 'note' && notes.push(event.text);
    for (const [name, learningRate] of [
      ['slow', 1e-4],
      ['fast', 1e3],
    ] as const) {
      const stage1 = { steps: 1, keepEvery: 1, learningRate };
      await train(request(name, { method: 'prompt-tune', settings: { ...smallSettings, stage1 }, onEvent }));
    }
    expect(notes.filter((text) => text.includes('stage1.learningRate'))).toEqual([
      expect.stringMatching(/^stage1.learningRate 1000 is large beside the model's embeddings/u),
    ]);
  });

  test('prompt-tune is stage 1 alone: the same prompt, and no model', async () => {
    await train(request('prompt-tune', { method: 'prompt-tune' }));
    expect(fingerprint('prompt-tune')).toEqual({
      'prompt/adapter_model.safetensors': fingerprint('promot')['prompt/adapter_model.safetensors'],
    });
    expect(losses('prompt-tune')).toEqual(losses('promot').filter((line) => line.stage === 'prompt'));
  });

  test('metrics.jsonl has a line a step, from 1, and one an evaluation', () => {
    const lines = metricsOf('promot');
    for (const stage of ['prompt', 'model']) {
      const own = lines.filter((line) => line.stage === stage);
      expect(own.filter((line) => line.loss !== undefined).map((line) => line.step)).toEqual([1, 2, 3, 4, 5, 6]);
      expect(own.filter((line) => line.evalLoss !== undefined).map((line) => line.step)).toEqual([2, 4, 6]);
    }
  });

  test('of equal scores the later checkpoint is taken, and step 0 never', async () => {
    // A rate too small to change any answer: all candidates score the same.
    const settings = { ...smallSettings, stage1: { ...smallSettings.stage1, learningRate: 1e-9 } };
    const result = await train(request('equal', { method: 'prompt-tune', settings }));
    expect(result.stages[0]!.best.step).toBe(6);
  });

  test('gradient accumulation: the division into passes does not change the run', async () => {
    const settings = { ...smallSettings, dropout: 0, microBatchSize: 6 };
    await train(request('whole', { method: 'fine-tune', settings }));
    await train(request('parts', { method: 'fine-tune', settings: { ...settings, microBatchSize: 1 } }));
    const [whole, parts] = [losses('whole'), losses('parts')];
    parts.forEach((line, i) => {
      if (line.loss !== undefined) expect(line.loss).toBeCloseTo(whole[i]!.loss!, 3);
    });
  });
});

describe('the other methods', () => {
  const parts = ['prompt/adapter_model.safetensors', 'model/model.safetensors'];
  const moved = (out: string) =>
    scope(() => {
      const base = openSafetensors(join(smallModel(), 'model.safetensors'));
      const trained = openSafetensors(join(folder, out, 'model/model.safetensors'));
      return [...trained.entries.keys()].some((name) => !trained.tensor(name).equal(base.tensor(name)));
    });
  const promptOf = (out: string) =>
    scope(() =>
      openSafetensors(join(folder, out, parts[0]!))
        .tensor('prompt_embeddings')
        .toNumbers(),
    );

  test('random-prompt: the prompt stays at its uniform start, the model moves', async () => {
    await train(request('random', { method: 'random-prompt' }));
    const prompt = promptOf('random');
    expect(Math.max(...prompt.map(Math.abs))).toBeLessThanOrEqual(0.5);
    expect(moved('random')).toBe(true);
    const start = scope(() => uniform([3, 128], -0.5, 0.5, smallSettings.seed).toNumbers());
    expect(prompt).toEqual(start);
  });

  test('joint: prompt and model move in one stage', async () => {
    await train(request('joint', { method: 'joint', settings: { ...smallSettings, promptInit: 'uniform' } }));
    expect(moved('joint')).toBe(true);
    expect(promptOf('joint')).not.toEqual(promptOf('random'));
  });

  test('lora: it is fine-tune with stage2.loraRank', async () => {
    const stage2 = { ...smallSettings.stage2, loraRank: 4, optimizer: 'adamw' };
    await train(request('lora-as-setting', { method: 'fine-tune', settings: { ...smallSettings, stage2 } }));
    await train(request('lora-as-method', { method: 'lora', settings: { ...smallSettings } }));
    expect(fingerprint('lora-as-setting')).toEqual(fingerprint('lora-as-method'));
  });

  test('lora: only the additions move; the model holds them, and base plus adapter is the same model', async () => {
    const settings = { ...smallSettings, stage2: { ...smallSettings.stage2, learningRate: 0.05 } };
    await train(request('lora', { method: 'lora', settings }));
    const [base, start] = [0, 1].map(() => loadFolder(smallModel(), 'float32').model) as [LanguageModel, LanguageModel];
    const merged = (await openModel(join(folder, 'lora'), 'float32')).model;
    const examples = [{ input: [5, 6, 7, 1], target: [8, 1] }];
    scope(() => {
      readLoraAdapter(join(folder, 'lora/lora'), base);
      const [a, b] = noGrad(() => [base.logits(examples), merged.logits(examples)]) as [Tensor, Tensor];
      expect(a.sub(b).abs().amax().item()).toBeLessThan(1e-4);
    });
    const changed = [...merged.parameters]
      .filter(([name, p]) => !p.equal(start.parameters.get(name)!))
      .map(([name]) => name);
    expect(changed.toSorted()).toEqual([...start.linears.keys()].map((name) => `${name}.weight`).toSorted());
    expect(() => openPrompt(join(folder, 'lora'), base)).toThrow(/LoRA in its weights/);
  });

  test('lora-first: the additions are frozen in the second stage and come off', async () => {
    const result = await train(request('lora-first', { method: 'lora-first' }));
    expect(result.stages.map((s) => s.stage)).toEqual(['lora', 'model']);
    const best = String(result.stages[0]!.best.step).padStart(6, '0');
    const [chosen, kept] = [`checkpoints/lora-${best}/trained.safetensors`, 'lora/adapter_model.safetensors'].map(
      (file) => openSafetensors(join(folder, 'lora-first', file)),
    );
    scope(() => {
      for (const name of chosen!.entries.keys())
        expect(kept!.tensor(`base_model.model.${name}`).equal(chosen!.tensor(name))).toBe(true);
    });
    expect(moved('lora-first')).toBe(true);
    const { model } = await openModel(join(folder, 'lora-first'), 'float32');
    const examples = [{ input: [5, 6, 7, 1], target: [8, 1] }];
    scope(() => {
      const off = noGrad(() => model.logits(examples));
      expect(openPrompt(join(folder, 'lora-first'), model)).toBeUndefined();
      expect(noGrad(() => model.logits(examples)).equal(off)).toBe(false);
    });
  });

  test('+1-shot: training and validation inputs begin with an exemplar, never the example itself', async () => {
    const result = await train(request('one-shot', { method: 'fine-tune', settings: { ...smallSettings, shots: 1 } }));
    expect(result.finished).toBe(true);
    const samples = readSamples(join(folder, 'one-shot/samples/model-000006.jsonl'));
    expect(samples.length).toBe(6);
    for (const sample of samples) {
      const [exemplar, input] = sample.input.split('\n\n');
      expect(exemplar).toMatch(/answer: (True|False)$/);
      expect(input).toMatch(/answer:$/);
      expect(exemplar).not.toContain(input);
    }
  });
});

describe('a refused run makes no folder and leaves no tensor behind', () => {
  const nan = (tensors: Map<string, Tensor>, name: string) => tensors.get(name)!.fill_(Number.NaN);
  const adapter = (name: string, change: (tensors: Map<string, Tensor>) => void) =>
    spoiltCopy('t5-v1.1/prompt', join(folder, name), 'adapter_model.safetensors', change);
  const narrow = adapter('narrow', (tensors) => tensors.set('prompt_embeddings', zeros([5, 64])));
  const nanAdapter = adapter('nan-adapter', (tensors) => nan(tensors, 'prompt_embeddings'));
  const weights = 'model.safetensors';
  const nanModel = spoiltCopy('t5-v1.1', join(folder, 'nan'), weights, (tensors) => nan(tensors, 'lm_head.weight'));
  const partial = spoiltCopy('t5-v1.1', join(folder, 'partial'), weights, (tensors) =>
    tensors.delete('lm_head.weight'),
  );
  /** A model whose tokenizer has one more token than the model has rows. */
  const withToken = (content: string) => {
    const copy = spoiltCopy('t5-v1.1', join(folder, `token-${content}`));
    const path = join(copy, 'tokenizer.json');
    const description = JSON.parse(readFileSync(path, 'utf8')) as { added_tokens: object[] };
    const token = { ...description.added_tokens[0], id: 320, content, special: false };
    writeFileSync(path, JSON.stringify({ ...description, added_tokens: [...description.added_tokens, token] }));
    return copy;
  };
  /** A task with a target in its validation split that no other text holds. */
  const rareTarget = join(folder, 'rare.yaml');
  writeFileSync(join(folder, 'rare.jsonl'), '{"text": "The red river", "label": "29"}\n');
  writeFileSync(
    rareTarget,
    'name: rare\nfiles: { train: train.jsonl, validation: rare.jsonl }\n' +
      'input: "{text}"\ntarget: "{label}"\nmetric: exact-match\n',
  );
  const init = (promptInit: string, promptLength = 5) => ({ settings: { ...smallSettings, promptInit, promptLength } });

  test.each<[string, Partial<TrainRequest>, RegExp]>([
    ['unknown method', { method: 'promott' }, /unknown method "promott".*promot/],
    ['missing model', { model: '/nowhere/model' }, /nowhere/],
    ['unknown setting', { settings: { batchSze: 4 } }, /unknown setting batchSze.*batchSize/],
    ['setting out of range', { settings: { dropout: 1.5 } }, /dropout/],
    ['misspelt promptInit', init('vocabulry'), /promptInit: "vocabulry" is neither vocabulary, labels, text:/],
    ['adapter of another width', init(narrow), /the prompt is 64 wide, the model 128/],
    ['adapter with NaN', init(nanAdapter), /promptInit: the prompt holds numbers that are not finite/],
    ['weights with NaN', { model: nanModel }, /nan: the weights hold numbers that are not finite/],
    ['missing tensor', { model: partial }, /no tensor lm_head\.weight/],
    ['training data with a token without a row', { model: withToken('17') }, /has token 320 \("17"\)/],
    [
      'a validation target with a token without a row',
      { model: withToken('29'), task: rareTarget },
      /has token 320 \("29"\)/,
    ],
    ['more beams than tokens', { settings: { ...smallSettings, beams: 1000 } }, /1000 beams are too many/],
    ['LoRA in a stage that trains no model', { settings: { stage1: { loraRank: 4 } } }, /setting stage1\.loraRank/],
    ['batches beyond memory', { settings: { batchSize: 3e9 } }, /setting batchSize: .*65536/],
    ['tolerance of no tasks', { settings: { ...smallSettings, keep: { tolerance: 1 } } }, /keep\.tolerance/],
  ])('%s', async (name, more, message) => {
    const left = watchTensors();
    await expect(train(request(name, more))).rejects.toThrow(message);
    expect(existsSync(join(folder, name))).toBe(false);
    expect(left()).toBe(0);
  });
});

test('after an error nobody waits for the hash of the model', async () => {
  const model = join(folder, 'huge.gguf');
  writeFileSync(model, '');
  // A hole, which takes minutes to read and no place.
  truncateSync(model, 2 ** 36);
  let hashing: Worker | undefined;
  process.once('worker', (thread) => {
    hashing = thread;
  });
  await expect(train(request('huge', { model }))).rejects.toThrow(/huge\.gguf is not a GGUF file/);
  // That of a thread that has ended.
  expect(hashing?.threadId).toBe(-1);
});

test('a learning rate that is far too large is refused at the step that shows it', async () => {
  const stage2 = { ...smallSettings.stage2, learningRate: 1e6, keepEvery: 6 };
  const running = train(request('large', { method: 'fine-tune', settings: { ...smallSettings, stage2 } }));
  const error = await running.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toBe('step 2: the gradient is not finite; a smaller learning rate may help');
});

describe('a run that stops', () => {
  test('by its signal: goes on to the same bits', async () => {
    const controller = new AbortController();
    const onEvent = (event: WorkEvent) => {
      if (event.type === 'step' && event.stage === 'model' && event.step === 3) controller.abort();
    };
    const stopped = await train(request('stopped', { signal: controller.signal, onEvent }));
    expect(stopped.finished).toBe(false);
    await expect(train(request('stopped'))).rejects.toThrow(/already holds a run.*--resume/);
    await expect(train(request('stopped', { resume: true, settings: { ...smallSettings, seed: 9 } }))).rejects.toThrow(
      /other settings/,
    );
    const resumed = await train(request('stopped', { resume: true }));
    expect(resumed.finished).toBe(true);
    expect(fingerprint('stopped')).toEqual(fingerprint('promot'));
    expect(losses('stopped')).toEqual(losses('promot'));
  });

  test('at a step that is evaluated: makes the evaluation with the same bits', async () => {
    const more = { model: goldenModel('llama'), method: 'prompt-tune' };
    await train(request('evaluated', more));
    for (let resume = false, step = 0; step < smallSettings.stage1.steps; resume = true) {
      const controller = new AbortController();
      const onEvent = (event: WorkEvent) => {
        if (event.type !== 'step' || event.step % smallSettings.stage1.keepEvery > 0) return;
        step = event.step;
        controller.abort();
      };
      await train(request('unevaluated', { ...more, signal: controller.signal, onEvent, resume }));
    }
    await train(request('unevaluated', { ...more, resume: true }));
    expect(losses('unevaluated')).toEqual(losses('evaluated'));
  });

  test('while its folder was being made: begins in what it left', async () => {
    const out = join(folder, 'unmade');
    for (const name of ['checkpoints', 'samples']) mkdirSync(join(out, name), { recursive: true });
    writeFileSync(join(out, 'lock'), JSON.stringify({ pid: 99_999_999, host: hostname() }));
    expect((await train(request('unmade', { method: 'prompt-tune', resume: true }))).finished).toBe(true);
    // What a person left there is a person's.
    const used = join(folder, 'used');
    mkdirSync(join(used, 'checkpoints', 'mine'), { recursive: true });
    await expect(train(request('used'))).rejects.toThrow(/not empty and not a run/);
  });

  test('does not go on where its task has changed meanwhile', async () => {
    const { folder: other, task: changing } = smallTask();
    const more = { method: 'prompt-tune', task: changing };
    await train(request('changing', more));
    const file = join(other, 'validation.jsonl');
    const before = readFileSync(file, 'utf8');
    writeFileSync(file, before.replace('red', 'rot'));
    await expect(train(request('changing', { ...more, resume: true }))).rejects.toThrow(
      /task colours \(its template or its data\) is not what it was/,
    );
    writeFileSync(file, before);
    writeFileSync(changing, readFileSync(changing, 'utf8').replace('Is it red?', 'Red?'));
    await expect(train(request('changing', { ...more, resume: true }))).rejects.toThrow(
      /task colours \(its template or its data\) is not what it was/,
    );
    rmSync(other, { recursive: true });
  });

  test('in bf16: the fp32 masters are part of the checkpoint, and it goes on to the same bits', async () => {
    const settings = { ...smallSettings, precision: 'bf16' };
    await train(request('bf16', { method: 'fine-tune', settings }));
    const controller = new AbortController();
    const onEvent = (event: WorkEvent) => {
      if (event.type === 'step' && event.step === 3) controller.abort();
    };
    await train(request('bf16-stopped', { method: 'fine-tune', settings, signal: controller.signal, onEvent }));
    await train(request('bf16-stopped', { method: 'fine-tune', settings, resume: true }));
    expect(fingerprint('bf16-stopped')).toEqual(fingerprint('bf16'));
    expect(losses('bf16-stopped')).toEqual(losses('bf16'));
  });

  test('whose newest checkpoint is damaged: goes on from the one before to the same bits', async () => {
    const method = 'prompt-tune';
    const checkpoint = (step: number) => join(folder, `damaged/checkpoints/prompt-00000${step}/trained.safetensors`);
    const inodes = new Map<number, number>();
    const onEvent = (event: WorkEvent) => {
      if (event.type === 'evaluating' && event.done === 1)
        inodes.set(event.step!, statSync(checkpoint(event.step!)).ino);
    };
    const whole = await train(request('damaged', { method, onEvent }));
    // A kept checkpoint is saved once: its evaluation does not write it again.
    for (const step of [4, 6]) expect(statSync(checkpoint(step)).ino).toBe(inodes.get(step));
    const before = { files: fingerprint('damaged'), lines: losses('damaged') };
    truncateSync(checkpoint(6), 100);
    const steps: number[] = [];
    const seen = (event: WorkEvent) => event.type === 'step' && steps.push(event.step);
    const resumed = await train(request('damaged', { method, resume: true, onEvent: seen }));
    expect(steps).toEqual([5, 6]);
    expect(resumed.stages[0]!.best).toEqual(whole.stages[0]!.best);
    expect({ files: fingerprint('damaged'), lines: losses('damaged') }).toEqual(before);
  });

  test('by SIGKILL at random moments, also while a checkpoint is written: goes on to the same bits', async () => {
    const out = 'killed';
    const kills = await trainThroughKills(request(out, { resume: true }));
    expect(kills.length).toBeGreaterThan(3);
    expect(fingerprint(out)).toEqual(fingerprint('promot'));
    expect(losses(out)).toEqual(losses('promot'));
    expect(readdirSync(join(folder, out, 'checkpoints')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  }, 300_000);
});
