// What promot saves, it loads again: equal logits bit for bit, for models, prompts, and the untidy files of the world.
// That Transformers and PEFT load the same logits from these folders: golden/round-trip.mjs and golden/verify.py.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Adafactor,
  type DType,
  keep,
  noGrad,
  openSafetensors,
  randn,
  scope,
  type Tensor,
  writeSafetensors,
} from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readPromptAdapter, writePromptAdapter } from '../src/adapters/peft.js';
import { type LoadedModel, loadFolder } from '../src/models/load.js';
import type { LanguageModel, TokenizedExample } from '../src/models/model.js';
import { idTensor } from '../src/models/padding.js';
import { saveModel } from '../src/models/save.js';

const models = fileURLToPath(new URL('../golden/models', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'promot-round-trip-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const logitsOf = (model: LanguageModel, batch: readonly TokenizedExample[], prompt?: Tensor) =>
  keep(noGrad(() => model.logits(batch, { prompt })));

/** One Adafactor step, so that the weights are none that a file holds already. */
function step(model: LanguageModel, batch: readonly TokenizedExample[]): void {
  for (const parameter of model.parameters.values()) parameter.requiresGrad = true;
  const optimizer = new Adafactor(model.parameters);
  scope(() => {
    const targets = idTensor(batch.flatMap((example) => example.target)).unsqueeze(1);
    model.logits(batch).float().logSoftmax(-1).gather(1, targets).mean().neg().backward();
    optimizer.step(0.01);
  });
  optimizer.dispose();
  for (const parameter of model.parameters.values()) parameter.requiresGrad = false;
}

function free(...held: (LoadedModel | Tensor | undefined)[]): void {
  for (const one of held)
    if (one && 'model' in one) for (const parameter of one.model.parameters.values()) parameter.dispose();
    else one?.dispose();
}

const texts = ['The cat sees it.', ' answers two  hypotheses\n', 'naïve café: 123 <extra_id_1>'];

describe.each(['t5-v1.0', 't5-v1.1', 'llama', 'qwen2'])('%s', (name) => {
  const expected = JSON.parse(readFileSync(join(models, name, 'expected.json'), 'utf8')) as {
    batch: { inputIds: number[][]; targetIds: number[][] };
  };
  const batch = expected.batch.inputIds.map((input, i) => ({ input, target: expected.batch.targetIds[i]! }));

  describe.each(['float32', 'bfloat16'] as const)('%s', (dtype: DType) => {
    const folder = join(temporary, `${name}-${dtype}`);
    let trained: LoadedModel;
    let again: LoadedModel;
    beforeAll(async () => {
      trained = loadFolder(join(models, name), dtype);
      const before = logitsOf(trained.model, batch);
      step(trained.model, batch);
      const after = logitsOf(trained.model, batch);
      expect(after.equal(before)).toBe(false);
      free(before, after);
      await saveModel(folder, trained);
      again = loadFolder(folder, dtype);
    });
    afterAll(() => free(trained, again));

    test('the same parameters and logits', () => {
      expect([...again.model.parameters.keys()]).toEqual([...trained.model.parameters.keys()]);
      for (const [key, parameter] of trained.model.parameters) {
        expect(again.model.parameters.get(key)!.dtype).toBe(dtype);
        expect(again.model.parameters.get(key)!.equal(parameter), key).toBe(true);
      }
      const [wanted, found] = [logitsOf(trained.model, batch), logitsOf(again.model, batch)];
      expect(found.equal(wanted)).toBe(true);
      free(wanted, found);
    });

    test('the same facts and tokens', () => {
      expect(again.model.shape).toEqual(trained.model.shape);
      expect(again.model.config()).toEqual({ ...trained.model.config(), dtype });
      for (const text of texts) {
        expect(again.tokenizer.encode(text)).toEqual(trained.tokenizer.encode(text));
        expect(again.tokenizer.decode(again.tokenizer.encode(text))).toBe(
          trained.tokenizer.decode(trained.tokenizer.encode(text)),
        );
      }
      expect(again.tokenizer.endOfSequence).toBe(trained.tokenizer.endOfSequence);
      expect(again.tokenizer.sentinels).toEqual(trained.tokenizer.sentinels);
    });

    test('saved anew, the same files; nothing but files of a model', async () => {
      const second = `${folder}-again`;
      await saveModel(second, again);
      expect(readdirSync(second).sort()).toEqual(readdirSync(folder).sort());
      const content = (place: string, file: string): unknown => {
        const bytes = readFileSync(join(place, file));
        return file.endsWith('.json') ? JSON.parse(bytes.toString()) : createHash('sha256').update(bytes).digest('hex');
      };
      for (const file of readdirSync(folder)) expect(content(second, file), file).toEqual(content(folder, file));
      const tokenizer = name === 't5-v1.0' ? 'spiece.model' : 'tokenizer.json';
      expect(readdirSync(folder)).toEqual(
        expect.arrayContaining(['config.json', 'model.safetensors', tokenizer, 'tokenizer_config.json']),
      );
      expect(readdirSync(folder).filter((file) => file.endsWith('.tmp'))).toEqual([]);
    });

    test('numbers that Transformers wants as floats have a fraction', () => {
      const text = readFileSync(join(folder, 'config.json'), 'utf8');
      const floats = name.startsWith('t5')
        ? ['"initializer_factor": 1.0', '"classifier_dropout": 0.0', '"layer_norm_epsilon": 0.000001']
        : ['"attention_dropout": 0.0', name === 'llama' ? '"factor": 8.0' : '"rope_theta": 1000000.0'];
      for (const line of floats) expect(text).toContain(line);
      expect(text).toMatch(/"(num_heads|num_attention_heads)": \d+,/);
    });

    test('a soft prompt', async () => {
      const adapter = `${folder}-adapter`;
      const prompt = keep(randn([7, trained.model.shape.width], 5));
      await writePromptAdapter(adapter, prompt, trained.model, folder);
      const read = keep(readPromptAdapter(adapter, again.model));
      expect(read.equal(prompt)).toBe(true);
      const [wanted, found, without] = [
        logitsOf(trained.model, batch, prompt),
        logitsOf(again.model, batch, read),
        logitsOf(again.model, batch),
      ];
      expect(found.equal(wanted)).toBe(true);
      expect(found.equal(without)).toBe(false);
      free(prompt, read, wanted, found, without);
    });
  });
});

describe('a T5 whose file holds a head of its own while its config says tied', () => {
  const folder = join(temporary, 'untidy');
  const batch = [{ input: [5, 6, 7, 1], target: [8, 9, 1] }];
  let untidy: LoadedModel;
  beforeAll(() => {
    mkdirSync(folder);
    const source = join(models, 't5-v1.1');
    for (const file of ['tokenizer.json', 'tokenizer_config.json', 'model.safetensors'])
      writeFileSync(join(folder, file), readFileSync(join(source, file)));
    const { scale_decoder_outputs: _, ...config } = JSON.parse(
      readFileSync(join(source, 'config.json'), 'utf8'),
    ) as Record<string, unknown>;
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, tie_word_embeddings: true }));
    untidy = loadFolder(folder, 'float32');
  });
  afterAll(() => free(untidy));

  test('uses that head, and scales the output as a tied model does', () => {
    expect(untidy.model.parameters.has('lm_head.weight')).toBe(true);
    expect(untidy.model.config()).toMatchObject({ tie_word_embeddings: false, scale_decoder_outputs: true });
    const plain = loadFolder(join(models, 't5-v1.1'), 'float32');
    expect(plain.model.config()).toMatchObject({ tie_word_embeddings: false, scale_decoder_outputs: false });
    const scale = plain.model.shape.width ** -0.5;
    const [own, unscaled] = [logitsOf(untidy.model, batch), logitsOf(plain.model, batch)];
    const apart = scope(() => noGrad(() => unscaled.mul(scale).sub(own).abs().amax().item()));
    expect(apart).toBeLessThan(1e-5);
    free(own, unscaled, plain);
  });

  test('is saved with the same logits', async () => {
    const saved = join(temporary, 'tidy');
    await saveModel(saved, untidy);
    const again = loadFolder(saved, 'float32');
    const [wanted, found] = [logitsOf(untidy.model, batch), logitsOf(again.model, batch)];
    expect(found.equal(wanted)).toBe(true);
    free(wanted, found, again);
  });

  test('a head in the file that equals the embedding is tied, and trained once', async () => {
    const tied = join(temporary, 'tied');
    mkdirSync(tied);
    for (const file of readdirSync(folder)) writeFileSync(join(tied, file), readFileSync(join(folder, file)));
    const file = openSafetensors(join(tied, 'model.safetensors'));
    scope(() => {
      const tensors = new Map([...file.entries.keys()].map((name) => [name, file.tensor(name).clone()]));
      file.close();
      writeSafetensors(join(tied, 'model.safetensors'), tensors.set('lm_head.weight', tensors.get('shared.weight')!));
    });
    const loaded = loadFolder(tied, 'float32');
    expect(loaded.model.parameters.has('lm_head.weight')).toBe(false);
    expect(loaded.model.config()).toMatchObject({ tie_word_embeddings: true, scale_decoder_outputs: true });
    step(loaded.model, batch);
    const saved = join(temporary, 'tied-saved');
    await saveModel(saved, loaded);
    const again = loadFolder(saved, 'float32');
    const [wanted, found] = [logitsOf(loaded.model, batch), logitsOf(again.model, batch)];
    expect(found.equal(wanted)).toBe(true);
    free(wanted, found, loaded, again);
  });
});
