// Adapters of every kind against PEFT: golden/adapters.py wrote them and the logits that PEFT gives with them.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { noGrad, scope, watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { countCompared } from '../../test/compared.js';
import { UserError } from '../base/errors.js';
import { openCheckpoint } from '../models/checkpoint.js';
import { isTied } from '../models/head.js';
import { buildModel } from '../models/load.js';
import type { LanguageModel } from '../models/model.js';
import { CheckpointWeights } from '../models/weights.js';
import { readLoraAdapter } from './lora-adapter.js';

const golden = fileURLToPath(new URL('../../golden/adapters/', import.meta.url));
const expected = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
  ids: number[];
  plain: Record<string, number[][]>;
  adapters: Record<string, { of: string; logits: number[][] }>;
};
const out = mkdtempSync(join(tmpdir(), 'promot-adapters-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

function load(name: string): LanguageModel {
  const folder = join(golden, name);
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  const checkpoint = openCheckpoint(folder);
  const model = buildModel(config, new CheckpointWeights(folder, checkpoint.tensors, 'float32'), folder);
  checkpoint.close();
  return model;
}

/** All rows but the last, which predicts what comes after the text. */
function logitsOf(model: LanguageModel): number[] {
  const [first, ...rest] = expected.ids;
  return scope(() => noGrad(() => model.logits([{ input: [first!], target: rest }])).toNumbers());
}

function apart(model: LanguageModel, rows: number[][]): number {
  const wanted = rows.slice(0, -1).flat();
  return Math.max(...logitsOf(model).map((x, i) => Math.abs(x - wanted[i]!)));
}

/** A copy of an adapter whose configuration is changed. */
function changed(name: string, change: (config: Record<string, unknown>) => void): string {
  const folder = join(out, `${name}-${Math.random()}`);
  cpSync(join(golden, name), folder, { recursive: true });
  const path = join(folder, 'adapter_config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  change(config);
  writeFileSync(path, JSON.stringify(config));
  return folder;
}

describe.each(Object.entries(expected.adapters))('%s', (name, { of, logits }) => {
  const compared = countCompared('src/adapters/lora-adapter.test.ts', name);
  const model = load(of);
  const folder = join(golden, name);

  test("the logits are PEFT's; off again, the model is what it was", () => {
    const before = logitsOf(model);
    expect(apart(model, expected.plain[of]!)).toBeLessThan(2e-5);
    const left = watchTensors();
    const adapter = readLoraAdapter(folder, model);
    expect(apart(model, expected.plain[of]!)).toBeGreaterThan(0.05);
    expect(apart(model, logits)).toBeLessThan(1e-4);
    compared(logits.flat().length);
    adapter.detach();
    expect(logitsOf(model)).toEqual(before);
    expect(left()).toBe(0);
  });

  test('merged, the logits stay, and config.json says whether the head is tied', () => {
    const left = watchTensors();
    const adapter = readLoraAdapter(folder, model);
    if (name === 'lora-bias') return expect(() => adapter.merge()).toThrow(/has no bias that the adapter's/);
    adapter.merge();
    expect(left()).toBe(isTied(model) === (of === 'tied') ? 0 : 1);
    expect(apart(model, logits)).toBeLessThan(1e-4);
    expect(model.config().tie_word_embeddings).toBe(isTied(model));
    const untied = ['tied-head', 'tied-dora-head', 'tied-embedding', 'tied-save', 'tied-save-head'];
    expect(isTied(model)).toBe(of === 'tied' && !untied.includes(name));
    expect(model.parameters.get('lm_head.weight') === undefined).toBe(isTied(model));
  });
});

describe('what is refused, leaving the model as it was', () => {
  const model = load('untied');
  const before = logitsOf(model);
  const refused = (folder: string, reason: RegExp) => {
    const left = watchTensors();
    expect(() => readLoraAdapter(folder, model)).toThrow(UserError);
    expect(() => readLoraAdapter(folder, model)).toThrow(reason);
    expect(logitsOf(model)).toEqual(before);
    expect(left()).toBe(0);
  };
  const set = (key: string, value: unknown, name = 'plain') => changed(name, (config) => (config[key] = value));

  test.each([
    ['alora_invocation_tokens', [1, 2]],
    ['layer_replication', [[0, 1]]],
    ['target_parameters', ['x']],
    ['use_qalora', true],
    ['fan_in_fan_out', true],
    ['a_key_of_tomorrow', 0.5],
  ])('%s', (key, value) => {
    refused(set(key, value), new RegExp(`adapter_config\\.json: ${key} is .*does not know`));
  });

  test('an unknown key that asks for nothing is no matter', () => {
    readLoraAdapter(set('a_key_of_tomorrow', null), model).detach();
    readLoraAdapter(set('another', {}), model).detach();
  });

  test.each(['loftq', 'corda', 'lora_ga', 'pissa_niter_16', 'x'])('weights that start from %s', (start) => {
    refused(set('init_lora_weights', start), /init_lora_weights is .*path_initial_model/);
  });

  test('layers that the model, the configuration or the file lacks, by name', () => {
    refused(join(golden, 'bias-own'), /the model's is|has no layer|no part of/);
    refused(
      set('target_modules', ['q_proj']),
      /holds model\.layers\.0\.self_attn\.v_proj, .*v_proj, which target_modules/,
    );
    refused(
      set('target_modules', ['q_proj', 'v_proj', 'up_proj']),
      /names model\.layers\.0\.mlp\.up_proj, model\.layers\.1\.mlp\.up_proj, for which/,
    );
    refused(set('layers_to_transform', [0]), /holds model\.layers\.1\.self_attn\.q_proj/);
    refused(set('r', 3), /lora_A has shape \[2,16\], the model needs \[3,16\]/);
    refused(set('use_dora', true), /lora_magnitude_vector is missing/);
    refused(set('lora_bias', false, 'lora-bias'), /has a bias, and lora_bias is not set/);
    refused(set('modules_to_save', null, 'save'), /lm_head\.weight is no part of what the configuration asks for/);
    refused(set('trainable_token_indices', [7], 'tokens'), /1 trained tokens of shape \[2,16\]/);
  });

  test('a pattern that never ends, and one that is none', () => {
    refused(set('rank_pattern', { '(.*a*)*(a+)+(a+)+(.*)+(.+)+(.+)+x=': 2 }), /takes too long/);
    refused(set('rank_pattern', { '(': 2 }), /is no regular expression/);
  });
});
