// Loading a model folder: every form that hubs hold, and one clear message for every way in which a folder can be
// wrong.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  keep,
  noGrad,
  openSafetensors,
  scope,
  type Tensor,
  tensor,
  watchTensors,
  writeSafetensors,
  zeros,
} from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { readPromptAdapter } from '../adapters/peft.js';
import { UserError } from '../base/errors.js';
import { type LoadedModel, loadFolder } from './load.js';
import { saveModel } from './save.js';

const golden = fileURLToPath(new URL('../../golden', import.meta.url));
const temporary = mkdtempSync(join(tmpdir(), 'promot-load-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const free = ({ model }: LoadedModel) => {
  for (const parameter of model.parameters.values()) parameter.dispose();
};

let count = 0;
/** A copy of a golden folder to spoil. */
function copyOf(folder: string): string {
  const copy = join(temporary, String(count++));
  cpSync(join(golden, folder), copy, { recursive: true });
  return copy;
}
/** Replaces keys of a JSON file; undefined removes one. */
function change(folder: string, file: string, keys: Record<string, unknown>): void {
  const path = join(folder, file);
  const content = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...content, ...keys }));
}
/** Replaces the weights of a folder by what `change` makes of them. */
function changeWeights(folder: string, change: (tensors: Map<string, Tensor>) => void): void {
  const path = join(folder, 'model.safetensors');
  scope(() => {
    const file = openSafetensors(path);
    const tensors = new Map([...file.entries.keys()].map((name) => [name, file.tensor(name).clone()]));
    file.close();
    change(tensors);
    writeSafetensors(path, tensors);
  });
}

/** The message, which must be a person's: a UserError of one line. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  throw new Error('nothing was refused');
}

describe('the forms of a folder', () => {
  const { folders } = JSON.parse(readFileSync(join(golden, 'files/expected.json'), 'utf8')) as {
    folders: { inputIds: number[]; targetIds: number[]; logits: string };
  };
  const wanted = new Float32Array(new Uint8Array(Buffer.from(folders.logits, 'base64')).buffer);
  const logits = ({ model }: LoadedModel) =>
    keep(noGrad(() => model.logits([{ input: folders.inputIds, target: folders.targetIds }])));

  test.each(['safetensors', 'safetensors-sharded', 'bin', 'bin-sharded'])(
    '%s: the logits of Transformers, and of model.safetensors to the bit',
    (form) => {
      const loaded = loadFolder(join(golden, 'files/folders', form), 'float32');
      const plain = loadFolder(join(golden, 'files/folders/safetensors'), 'float32');
      for (const [name, parameter] of loaded.model.parameters)
        expect(parameter.equal(plain.model.parameters.get(name)!), name).toBe(true);
      expect([...loaded.model.parameters.keys()]).toEqual([...plain.model.parameters.keys()]);
      const [found, same] = [logits(loaded), logits(plain)];
      expect(found.equal(same)).toBe(true);
      scope(() => {
        expect(
          found
            .sub(tensor(wanted, { shape: found.shape }))
            .abs()
            .amax()
            .item(),
        ).toBeLessThan(1e-5);
      });
      found.dispose();
      same.dispose();
      free(loaded);
      free(plain);
    },
  );

  test('a model.safetensors is taken before a pytorch_model.bin', () => {
    const folder = copyOf('files/folders/safetensors');
    writeFileSync(join(folder, 'pytorch_model.bin'), 'nonsense');
    free(loadFolder(folder, 'float32'));
  });

  test('training does not write into the files', () => {
    const folder = copyOf('files/folders/safetensors');
    const before = readFileSync(join(folder, 'model.safetensors'));
    const loaded = loadFolder(folder, 'float32');
    for (const parameter of loaded.model.parameters.values()) parameter.fill_(1);
    expect(readFileSync(join(folder, 'model.safetensors')).equals(before)).toBe(true);
    free(loaded);
  });
});

const logitsOf = (folder: string) => {
  const loaded = loadFolder(folder, 'float32');
  const example = { input: [5, 9, 14], target: [7, 8] };
  const found = noGrad(() => scope(() => loaded.model.logits([example]).toNumbers()));
  free(loaded);
  return found;
};

test('names with a prefix of torch.compile, without "model.", and swish for SiLU give the same model', () => {
  const wanted = logitsOf(join(golden, 'models/mistral'));
  const renamed = (rename: (name: string) => string) => {
    const folder = copyOf('models/mistral');
    changeWeights(folder, (tensors) => {
      for (const [name, value] of [...tensors]) {
        tensors.delete(name);
        tensors.set(rename(name), value);
      }
    });
    return folder;
  };
  expect(logitsOf(renamed((name) => `_orig_mod.${name}`))).toEqual(wanted);
  expect(logitsOf(renamed((name) => name.replace(/^model\./, '')))).toEqual(wanted);
  const folder = copyOf('models/mistral');
  change(folder, 'config.json', { hidden_act: 'swish' });
  expect(logitsOf(folder)).toEqual(wanted);
});

test.each([
  ['llama', 'Vicuna, CodeLlama', { pretraining_tp: 2, max_sequence_length: 16384, _flash_attn_2_enabled: true }],
  ['phi3', 'Phi-4-mini', { full_attn_mod: 1, interpolate_factor: 1, lm_head_bias: false, mlp_bias: false }],
  ['ernie4_5', 'ERNIE 4.5', { compression_ratio: 1.0, hidden_dropout_prob: 0.1, ignored_index: -100 }],
  ['smollm3', 'SmolLM3', { pretraining_tp: 2, max_window_layers: 28 }],
])('%s: the keys of %s that change nothing', (model, _, keys) => {
  const folder = copyOf(`models/${model}`);
  change(folder, 'config.json', keys);
  expect(logitsOf(folder)).toEqual(logitsOf(join(golden, 'models', model)));
});

test("SmolLM3's layer_types count whatever use_sliding_window says, as in Transformers", () => {
  const of = (use_sliding_window: boolean, layer: string) => {
    const folder = copyOf('models/smollm3');
    change(folder, 'config.json', { use_sliding_window, sliding_window: 2, layer_types: [layer, layer, layer] });
    return logitsOf(folder);
  };
  expect(of(false, 'sliding_attention')).toEqual(of(true, 'sliding_attention'));
  expect(of(false, 'full_attention')).toEqual(of(true, 'full_attention'));
  expect(of(false, 'sliding_attention')).not.toEqual(of(false, 'full_attention'));
});

describe('T5Gemma 2', () => {
  const folder = join(golden, 'models/t5gemma2');

  test('the part for images is left out, and said', () => {
    const notes: string[] = [];
    free(loadFolder(folder, 'float32', { onNote: (text) => notes.push(text) }));
    free(loadFolder(join(golden, 'models/llama'), 'float32', { onNote: (text) => notes.push(text) }));
    expect(notes).toEqual([`${folder}: the part for images is not read, and a folder that promot saves is without it`]);
  });

  test("files with Transformers' own names are read, and the hub's are written", async () => {
    const copy = copyOf('models/t5gemma2');
    changeWeights(copy, (tensors) => {
      for (const [name, value] of [...tensors]) {
        tensors.delete(name);
        tensors.set(name.replace(/^model\.encoder\.(embed_tokens|layers|norm)/, 'model.encoder.text_model.$1'), value);
      }
    });
    expect(logitsOf(copy)).toEqual(logitsOf(folder));
    change(copy, 'config.json', {
      decoder: {
        ...(JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as { decoder: object }).decoder,
        dtype: 'bfloat16',
      },
    });
    const loaded = loadFolder(copy, 'float32');
    await saveModel(copy, loaded);
    free(loaded);
    // Transformers makes each part as its own configuration says.
    const { dtype, decoder } = JSON.parse(readFileSync(join(copy, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect([dtype, decoder]).toEqual(['float32', expect.objectContaining({ dtype: 'float32' })]);
    const names = (of: string) => {
      const file = openSafetensors(join(of, 'model.safetensors'));
      file.close();
      return [...file.entries.keys()].sort();
    };
    expect(names(copy)).toEqual(names(folder).filter((name) => !/vision|modal|eoi/.test(name)));
    expect(logitsOf(copy)).toEqual(logitsOf(folder));
  });

  test('the token behind an image is refused', () => {
    const loaded = loadFolder(folder, 'float32');
    const message = 'the text has token 318, which stands for the end of an image';
    for (const example of [
      { input: [318], target: [1] },
      { input: [5], target: [318, 1] },
    ])
      expect(refusal(() => loaded.model.logits([example]))).toContain(message);
    free(loaded);
  });
});

describe('T5 with the shared table under another name', () => {
  test.each([
    ['t5-v1.1', 'decoder.embed_tokens.weight'],
    ['t5-v1.1', 'encoder.embed_tokens.weight'],
    ['t5-v1.0', 'lm_head.weight'],
  ])('%s: %s', (model, name) => {
    const folder = copyOf(`models/${model}`);
    const logits = () => {
      const loaded = loadFolder(folder, 'float32');
      const found = scope(() =>
        noGrad(() => loaded.model.logits([{ input: [5, 6, 7, 1], target: [8, 1] }]).toNumbers()),
      );
      free(loaded);
      return { found, names: [...loaded.model.parameters.keys()] };
    };
    const before = logits();
    changeWeights(folder, (tensors) => {
      tensors.set(name, tensors.get('shared.weight')!);
      tensors.delete('shared.weight');
    });
    expect(logits()).toEqual(before);
  });
});

describe("Qwen2's sliding window", () => {
  const folderWith = (keys: Record<string, unknown>) => {
    const folder = copyOf('models/qwen2');
    const window = { use_sliding_window: true, sliding_window: 2, layer_types: undefined };
    change(folder, 'config.json', { ...window, ...keys });
    return folder;
  };
  const logits = (folder: string) => {
    const loaded = loadFolder(folder, 'float32');
    const example = { input: [5, 6, 7, 8, 9, 10], target: [11, 12] };
    const found = scope(() => noGrad(() => loaded.model.logits([example]).toNumbers()));
    free(loaded);
    return found;
  };

  test('of some layers only: named by their number or one by one', () => {
    const some = logits(folderWith({ max_window_layers: 1 }));
    expect(some).not.toEqual(logits(folderWith({ max_window_layers: 0 })));
    expect(some).not.toEqual(logits(join(golden, 'models/qwen2')));
    expect(logits(folderWith({ layer_types: ['full_attention', 'sliding_attention'] }))).toEqual(some);
    expect(refusal(() => loadFolder(folderWith({ layer_types: ['full_attention'] }), 'float32'))).toMatch(
      /config\.json: layer_types names 1 layers, num_hidden_layers is 2/u,
    );
  });

  test('of all layers is used, of none ignored', () => {
    const plain = logits(join(golden, 'models/qwen2'));
    const windowed = logits(folderWith({ max_window_layers: 0 }));
    expect(windowed).not.toEqual(plain);
    expect(logits(folderWith({ layer_types: ['sliding_attention', 'sliding_attention'] }))).toEqual(windowed);
    expect(logits(folderWith({ max_window_layers: 2 }))).toEqual(plain);
    expect(logits(folderWith({ layer_types: ['full_attention', 'full_attention'] }))).toEqual(plain);
  });
});

test('a tokenizer with more tokens than the model has rows: a text with such a token is refused, no other', () => {
  const folder = copyOf('models/llama');
  const path = join(folder, 'tokenizer.json');
  const description = JSON.parse(readFileSync(path, 'utf8')) as { added_tokens: object[] };
  const token = { ...description.added_tokens[0], id: 320, content: 'garden', special: false };
  writeFileSync(path, JSON.stringify({ ...description, added_tokens: [...description.added_tokens, token] }));
  const [loaded, plain] = [loadFolder(folder, 'float32'), loadFolder(join(golden, 'models/llama'), 'float32')];
  expect(refusal(() => loaded.tokenizer.encode('The garden'))).toBe(
    `${folder}: the tokenizer has token 320 ("garden"), the model only 320 rows: they do not belong together`,
  );
  // Known without encoding; of the tokens of its own vocabulary only encoding can tell.
  const reaches = (text: string, from: number) => loaded.tokenizer.mayReach!(text, from);
  expect([reaches('The garden', 320), reaches('The river', 320), reaches('The river', 300)]).toEqual([
    true,
    false,
    true,
  ]);
  const ids = loaded.tokenizer.encode('The river');
  expect(ids).toEqual(plain.tokenizer.encode('The river'));
  expect(loaded.tokenizer.decode(ids)).toBe(plain.tokenizer.decode(ids));
  free(loaded);
  free(plain);
});

describe('a wrong config.json', () => {
  test('missing, no JSON, no object', () => {
    const folder = copyOf('models/qwen2');
    const path = join(folder, 'config.json');
    writeFileSync(path, '{"model_type": ');
    expect(refusal(() => loadFolder(folder, 'float32'))).toMatch(`${path} is not JSON`);
    writeFileSync(path, '[]');
    expect(refusal(() => loadFolder(folder, 'float32'))).toBe(`${path} must hold a JSON object.`);
    rmSync(path);
    expect(refusal(() => loadFolder(folder, 'float32'))).toBe(`${folder}: no model there (config.json is missing)`);
    mkdirSync(path);
    expect(refusal(() => loadFolder(folder, 'float32'))).toMatch(`${path} cannot be read`);
    expect(refusal(() => loadFolder(join(folder, 'absent'), 'float32'))).toContain('config.json is missing');
  });

  const cases: [string, string, Record<string, unknown>, string][] = [
    [
      'an unknown model',
      'qwen2',
      { model_type: 'gpt2' },
      'model_type "gpt2" is not a family that promot has (promot has t5, mt5, t5gemma2, llama, mistral',
    ],
    ['no model_type', 'qwen2', { model_type: undefined }, 'model_type is missing'],
    [
      'a model near to known ones',
      'qwen2',
      { model_type: 'qwen' },
      'is not a family that promot has (nearest: qwen2, qwen3;',
    ],
    ['a model_type that is no text', 'qwen2', { model_type: { a: 1 } }, 'model_type {"a":1} is not a family'],
    [
      'a key that may change what is computed',
      'llama',
      { use_parallel_residual: true },
      'promot does not know the key use_parallel_residual, which may change what the model computes',
    ],
    [
      'a key with a value that promot lacks',
      'phi3',
      { full_attn_mod: 2 },
      'full_attn_mod is wrong: promot knows 1, not 2',
    ],
    [
      'such a key of the rotary positions',
      'qwen2',
      { rope_parameters: { rope_type: 'default', rope_theta: 1e6, mrope_section: [1, 2] } },
      'promot does not know the key rope_parameters.mrope_section',
    ],
    ['quantized weights', 'llama', { quantization_config: { bits: 4 } }, 'the weights are quantized'],
    ['a missing key', 't5-v1.1', { d_model: undefined }, 'd_model is missing'],
    ['text for a number', 't5-v1.1', { d_ff: '128' }, 'd_ff is wrong: Invalid input: expected number, received string'],
    ['a number of layers that is no whole number', 'llama', { num_hidden_layers: 1.5 }, 'num_hidden_layers is wrong'],
    ['a negative size', 'llama', { hidden_size: -4 }, 'hidden_size is wrong'],
    ['an activation that promot lacks', 't5-v1.1', { feed_forward_proj: 'gelu' }, 'feed_forward_proj is wrong'],
    [
      'a rope scaling that promot lacks',
      'llama',
      { rope_scaling: { rope_type: 'other', factor: 2 } },
      'rope scaling "other" is not supported',
    ],
    [
      'a rope scaling without its factor',
      'llama',
      { rope_scaling: { rope_type: 'linear' } },
      'rope scaling "linear" needs factor',
    ],
    [
      'heads that do not divide',
      'llama',
      { num_key_value_heads: 3 },
      'num_key_value_heads 3 does not divide num_attention_heads 4',
    ],
    [
      'an end of sequence without a row',
      't5-v1.1',
      { eos_token_id: 320 },
      'eos_token_id is 320, but vocab_size is 320',
    ],
    ['a start token without a row', 't5-v1.0', { decoder_start_token_id: 1000 }, 'decoder_start_token_id is 1000'],
  ];
  test.each(cases)('%s', (_, model, keys, message) => {
    const folder = copyOf(`models/${model}`);
    rmSync(join(folder, 'generation_config.json'));
    change(folder, 'config.json', keys);
    const found = refusal(() => loadFolder(folder, 'float32'));
    expect(found).toContain(message);
    expect(found).toContain('config.json');
  });

  test('a padding id without a row is as good as none (decoder-only: nothing looks at padding)', () => {
    for (const pad_token_id of [-1, 320]) {
      const folder = copyOf('models/llama');
      change(folder, 'config.json', { pad_token_id });
      const loaded = loadFolder(folder, 'float32');
      expect(loaded.model.shape.padding).toBe(301);
      scope(() =>
        noGrad(() =>
          loaded.model.logits([
            { input: [1, 2, 3], target: [4] },
            { input: [1], target: [2] },
          ]),
        ),
      );
      free(loaded);
    }
  });
});

describe('generation_config.json', () => {
  test('malformed', () => {
    const folder = copyOf('models/llama');
    const path = join(folder, 'generation_config.json');
    writeFileSync(path, '{"eos_token_id": [1,');
    expect(refusal(() => loadFolder(folder, 'float32'))).toMatch(`${path} is not JSON`);
    writeFileSync(path, 'null');
    expect(refusal(() => loadFolder(folder, 'float32'))).toBe(`${path} must hold a JSON object.`);
    for (const wrong of ['"</s>"', '[1, "2"]', '1.5', '{}']) {
      writeFileSync(path, `{"eos_token_id": ${wrong}}`);
      expect(refusal(() => loadFolder(folder, 'float32'))).toBe(
        `${path}: eos_token_id is neither a token id nor a list of them`,
      );
    }
  });
  test('may be absent, or name no end; its ends count before those of config.json', () => {
    const folder = copyOf('models/llama');
    const ends = () => {
      const loaded = loadFolder(folder, 'float32');
      free(loaded);
      return loaded.model.shape.endOfSequence;
    };
    change(folder, 'generation_config.json', { eos_token_id: [301, 7] });
    expect(ends()).toEqual([301, 7]);
    change(folder, 'generation_config.json', { eos_token_id: null });
    expect(ends()).toEqual([301]);
    rmSync(join(folder, 'generation_config.json'));
    expect(ends()).toEqual([301]);
  });
});

test('an mT5 that Transformers 5 wrote, which calls it tied and says nothing of a scale, is not scaled', () => {
  const batch = [{ input: [5, 6, 1], target: [7, 1] }];
  const logits = (folder: string) => {
    const loaded = loadFolder(folder, 'float32');
    const found = noGrad(() => scope(() => loaded.model.logits(batch).toArray()));
    free(loaded);
    return found;
  };
  const folder = copyOf('models/t5-v1.1');
  change(folder, 'config.json', { model_type: 'mt5', tie_word_embeddings: true });
  expect(logits(folder)).toEqual(logits(copyOf('models/t5-v1.1')));
});

describe('wrong weights', () => {
  test('none', () => {
    const folder = copyOf('models/qwen2');
    rmSync(join(folder, 'model.safetensors'));
    expect(refusal(() => loadFolder(folder, 'float32'))).toContain(`${folder} has no weights`);
    mkdirSync(join(folder, 'model.safetensors'));
    expect(refusal(() => loadFolder(folder, 'float32'))).toContain('model.safetensors cannot be read');
  });

  test('of another shape, and with a tensor missing', () => {
    const folder = copyOf('models/t5-v1.1');
    const name = 'decoder.block.1.layer.2.DenseReluDense.wo.weight';
    changeWeights(folder, (tensors) => {
      tensors.set(name, zeros([128, 64]));
    });
    expect(refusal(() => loadFolder(folder, 'float32'))).toBe(
      `${folder}: ${name} has shape [128,64], but config.json asks for [128,128]`,
    );
    changeWeights(folder, (tensors) => {
      tensors.delete(name);
    });
    expect(refusal(() => loadFolder(folder, 'float32'))).toBe(
      `${folder}: the weights have no tensor ${name}; config.json promises one of shape [128,128]`,
    );
  });

  test('a folder that is refused leaves no tensor behind', () => {
    const folder = copyOf('models/t5-v1.1');
    changeWeights(folder, (tensors) => {
      tensors.delete('decoder.final_layer_norm.weight');
    });
    const left = watchTensors();
    expect(refusal(() => loadFolder(folder, 'float32'))).toContain('no tensor decoder.final_layer_norm.weight');
    expect(left()).toBe(0);
  });

  test('for a config.json of another size', () => {
    const folder = copyOf('models/llama');
    change(folder, 'config.json', { vocab_size: 400 });
    expect(refusal(() => loadFolder(folder, 'float32'))).toContain(
      'model.embed_tokens.weight has shape [320,128], but config.json asks for [400,128]',
    );
  });

  test('quantized', () => {
    const folder = copyOf('models/qwen2');
    const name = 'model.layers.0.self_attn.q_proj.weight';
    changeWeights(folder, (tensors) => {
      tensors.set(name, tensors.get(name)!.to('int8'));
    });
    const found = refusal(() => loadFolder(folder, 'float32'));
    expect(found).toContain(`${join(folder, 'model.safetensors')}: ${name} holds int8`);
  });

  test.each(['safetensors', 'safetensors-sharded', 'bin', 'bin-sharded'])('cut short at any place: %s', (form) => {
    const source = join(golden, 'files/folders', form);
    for (const file of readdirSync(source).filter((name) => /\.(bin|safetensors)$/.test(name))) {
      const size = readFileSync(join(source, file)).length;
      for (const length of [0, 1, 7, 8, 100, size >> 1, size - 100, size - 1]) {
        const folder = copyOf(`files/folders/${form}`);
        truncateSync(join(folder, file), length);
        expect(refusal(() => loadFolder(folder, 'float32'))).toContain(join(folder, file));
        rmSync(folder, { recursive: true });
      }
    }
  });

  test('a shard missing, an index that leaves a tensor out, an index that is no JSON', () => {
    for (const form of ['safetensors-sharded', 'bin-sharded']) {
      const folder = copyOf(`files/folders/${form}`);
      const index = readdirSync(folder).find((name) => name.endsWith('.index.json'))!;
      const { weight_map } = JSON.parse(readFileSync(join(folder, index), 'utf8')) as {
        weight_map: Record<string, string>;
      };
      const second = Object.values(weight_map).find((name) => name.includes('00002'))!;
      const onlyFirst = Object.fromEntries(Object.entries(weight_map).filter(([, shard]) => shard !== second));
      writeFileSync(join(folder, index), JSON.stringify({ weight_map: onlyFirst }));
      expect(refusal(() => loadFolder(folder, 'float32'))).toContain('the weights have no tensor');
      writeFileSync(join(folder, index), JSON.stringify({ weight_map }));
      rmSync(join(folder, second));
      expect(refusal(() => loadFolder(folder, 'float32'))).toContain(`${join(folder, second)} is missing`);
      writeFileSync(join(folder, index), '{');
      expect(refusal(() => loadFolder(folder, 'float32'))).toContain(join(folder, index));
    }
  });
});

describe('a wrong adapter', () => {
  const loaded = loadFolder(join(golden, 'models/qwen2'), 'float32');
  afterAll(() => free(loaded));
  const read = (folder: string) => {
    readPromptAdapter(folder, loaded.model).dispose();
  };
  const weights = (folder: string, name: string, shape: number[]) =>
    scope(() => writeSafetensors(join(folder, 'adapter_model.safetensors'), new Map([[name, zeros(shape)]])));

  test('of another width', () => {
    const folder = copyOf('models/qwen2/prompt');
    read(folder);
    weights(folder, 'prompt_embeddings', [5, 64]);
    expect(refusal(() => read(folder))).toBe(
      `${folder}: the prompt is 64 wide, the model 128: it was trained for another model`,
    );
  });
  test('with too few rows, without the prompt, truncated, without weights', () => {
    const folder = copyOf('models/qwen2/prompt');
    const path = join(folder, 'adapter_model.safetensors');
    weights(folder, 'prompt_embeddings', [4, 128]);
    expect(refusal(() => read(folder))).toContain(`${path}: prompt_embeddings has shape [4,128]`);
    weights(folder, 'prompt_embeddings', [5 * 128]);
    expect(refusal(() => read(folder))).toContain(`${path}: prompt_embeddings has shape [640]`);
    weights(folder, 'other', [5, 128]);
    expect(refusal(() => read(folder))).toContain(path);
    weights(folder, 'prompt_embeddings', [5, 128]);
    truncateSync(path, 1000);
    expect(refusal(() => read(folder))).toContain(`${path}: cut short`);
    rmSync(path);
    expect(refusal(() => read(folder))).toBe(`${folder}: adapter_model.safetensors (or adapter_model.bin) is missing`);
  });
  test('with a wrong configuration', () => {
    const folder = copyOf('models/qwen2/prompt');
    const path = join(folder, 'adapter_config.json');
    for (const [keys, message] of [
      [{ num_virtual_tokens: 0 }, 'num_virtual_tokens'],
      [{ num_virtual_tokens: undefined }, 'num_virtual_tokens'],
      [{ num_virtual_tokens: '5' }, 'num_virtual_tokens'],
      [{ peft_type: 'LORA' }, 'peft_type is LORA'],
      [{ peft_type: undefined }, 'peft_type'],
    ] as const) {
      change(folder, 'adapter_config.json', { peft_type: 'PROMPT_TUNING', num_virtual_tokens: 5, ...keys });
      const found = refusal(() => read(folder));
      expect(found).toContain(path);
      expect(found).toContain(message);
    }
    writeFileSync(path, 'null');
    expect(refusal(() => read(folder))).toContain(path);
    writeFileSync(path, '{');
    expect(refusal(() => read(folder))).toContain(path);
    rmSync(path);
    expect(refusal(() => read(folder))).toBe(`${folder}: no PEFT adapter there (adapter_config.json is missing)`);
  });
});
