// The sound files that campaigns damage, all of them in the repository, and how promot reads each kind.
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { root } from '../../run.mjs';

const golden = (path) => join(root, 'packages/core/golden', path);
const files = (folder, names) => names.map((name) => join(folder, name));
const model = (name, tokenizer) =>
  files(golden(`models/${name}`), [
    'config.json',
    'model.safetensors',
    'tokenizer_config.json',
    'generation_config.json',
    tokenizer,
  ]);
const tiny = (name, weights) =>
  files(golden(`files/folders/${name}`), ['config.json', 'tokenizer_config.json', ...weights]);
const adapter = (name, weights = 'adapter_model.safetensors') =>
  files(golden(`adapters/${name}`), ['adapter_config.json', weights]);
const tokenizer = (name, names) => files(golden(`tokenizers/${name}`), names);
const shards = (extension, index) => [1, 2].map((i) => `${index}-0000${i}-of-00002.${extension}`);

const rows = ['{"text": "a red river", "label": "yes"}', '{"text": "a new bridge", "label": "no"}', ''].join('\n');
const yaml = (file) =>
  `name: rows\nfiles: { train: ${file}, validation: ${file} }\ninput: "{text} red?"\ntarget: "{label}"\nlabels: ` +
  '["yes", "no"]\nmetric: accuracy\n';
const prompt = files(golden('models/llama/prompt'), ['adapter_config.json', 'adapter_model.safetensors']);
const run = {
  format: 2,
  method: 'prompt-tune',
  model: golden('models/llama'),
  tasks: ['rte'],
  fingerprints: { tasks: {}, replay: {}, keep: {} },
  config: { seed: 0, stages: { stage1: { steps: 5 } } },
};
const task = {
  task: 'rte',
  metric: 'accuracy',
  score: 81.5,
  n: 10,
  shots: 0,
  seed: 0,
  version: '1',
  split: 'validation',
  signature: 'x',
  dataFingerprint: 'y',
};
const results = { format: 2, tasks: [task], settings: { model: 'm' } };
// As format 1 wrote it: without a checksum, so that damage comes as far as the schema.
const state = { stage: 'prompt', step: 2, candidates: [{ step: 2, score: 50, evalLoss: 1.5 }], seconds: 3 };
const answers = [
  { type: 'header', format: 2 },
  { type: 'prompts', inputs: ['a red river'], notes: [] },
  { type: 'answer', example: 0, output: 'yes', labels: [{ logprob: -1, tokens: 1 }] },
];
const lines = (values) => values.map((value) => `${JSON.stringify(value)}\n`).join('');
const sample = { type: 'sample', input: 'red?', output: 'yes ', trimmed: 'yes', references: ['yes'], score: 100 };
const place = { stage: 'prompt', step: 1 };
const look = { target: 50, kept: { piqa: 60 }, examples: { target: [1, 0], piqa: [1] }, seconds: 2 };
const step = {
  type: 'step',
  ...place,
  loss: 2,
  learningRate: 0.1,
  gradientNorm: 1,
  tokensPerSecond: 9,
  elapsed: 1,
  remaining: 4,
  memory: 2 ** 28,
};
const evaluation = { type: 'evaluation', ...place, metric: 'accuracy', score: 50, evalLoss: 1.5, tasks: [] };
const metrics = lines([{ type: 'header', format: 2 }, step, evaluation, { type: 'own', ...place, look }]);

/**
 * What is damaged: a name, the kind of reader, the files (paths to copy, or [name, content]), and which of them are
 * damaged.
 */
const sources = [
  {
    name: 'safetensors',
    kind: 'model',
    files: tiny('safetensors', ['model.safetensors']),
    damage: ['model.safetensors'],
  },
  { name: 'bin', kind: 'model', files: tiny('bin', ['pytorch_model.bin']), damage: ['pytorch_model.bin'] },
  {
    name: 'shards',
    kind: 'model',
    files: tiny('safetensors-sharded', ['model.safetensors.index.json', ...shards('safetensors', 'model')]),
    damage: ['model.safetensors.index.json', 'model-00001-of-00002.safetensors'],
  },
  {
    name: 'bin-shards',
    kind: 'model',
    files: tiny('bin-sharded', ['pytorch_model.bin.index.json', ...shards('bin', 'pytorch_model')]),
    damage: ['pytorch_model.bin.index.json', 'pytorch_model-00002-of-00002.bin'],
  },
  {
    name: 'llama',
    kind: 'model',
    files: model('llama', 'tokenizer.json'),
    damage: ['config.json', 'generation_config.json', 'tokenizer_config.json'],
  },
  { name: 'qwen2', kind: 'model', files: model('qwen2', 'tokenizer.json'), damage: ['config.json', 'tokenizer.json'] },
  {
    name: 't5',
    kind: 'model',
    files: model('t5-v1.1', 'spiece.model'),
    damage: ['config.json', 'tokenizer_config.json'],
  },
  { name: 'gguf', kind: 'gguf', files: [golden('files/llama.gguf')], damage: ['llama.gguf'] },
  { name: 'gguf-qwen3', kind: 'gguf', files: [golden('files/families/qwen3.gguf')], damage: ['qwen3.gguf'] },
  { name: 'gguf-types', kind: 'gguf-tensors', files: [golden('files/types.gguf')], damage: ['types.gguf'] },
  ...['smollm', 'gemma'].map((name) => ({
    name: `gguf-${name}`,
    kind: 'gguf-tokenizer',
    files: [golden(`tokenizers/${name}.gguf`)],
    damage: [`${name}.gguf`],
  })),
  ...['smollm', 'llama-bpe', 'unigram-bytes'].map((name) => ({
    name: `tokenizer-${name}`,
    kind: 'tokenizer',
    files: tokenizer(name, ['tokenizer.json', 'tokenizer_config.json']),
    damage: ['tokenizer.json', 'tokenizer_config.json'],
  })),
  {
    name: 'spiece-t5',
    kind: 'tokenizer',
    files: tokenizer('t5', ['spiece.model', 'config.json']),
    damage: ['spiece.model'],
  },
  {
    name: 'spiece-llama',
    kind: 'tokenizer',
    files: tokenizer('llama', ['tokenizer.model']),
    damage: ['tokenizer.model'],
  },
  {
    name: 'byt5',
    kind: 'tokenizer',
    files: tokenizer('byt5-added', ['tokenizer_config.json', 'added_tokens.json']),
    damage: ['tokenizer_config.json', 'added_tokens.json'],
  },
  { name: 'chat', kind: 'chat', files: [golden('chat/smollm2.jinja')], damage: ['smollm2.jinja'] },
  ...['plain', 'patterns', 'dora', 'pissa', 'lora-bias', 'tokens', 'embedding', 'save'].map((name) => ({
    name: `lora-${name}`,
    kind: 'lora',
    files: adapter(name),
    damage: ['adapter_config.json', 'adapter_model.safetensors'],
  })),
  { name: 'lora-bin', kind: 'lora', files: adapter('bin', 'adapter_model.bin'), damage: ['adapter_model.bin'] },
  {
    name: 'prompt',
    kind: 'prompt',
    files: prompt,
    damage: ['adapter_config.json', 'adapter_model.safetensors'],
  },
  {
    name: 'jsonl',
    kind: 'task',
    files: [
      ['task.yaml', yaml('rows.jsonl')],
      ['rows.jsonl', rows],
    ],
    damage: ['task.yaml', 'rows.jsonl'],
  },
  {
    name: 'json',
    kind: 'task',
    files: [
      ['task.yaml', yaml('rows.json')],
      ['rows.json', `[${rows.trim().replace('\n', ',')}]`],
    ],
    damage: ['rows.json'],
  },
  {
    name: 'csv',
    kind: 'task',
    files: [
      ['task.yaml', yaml('rows.csv')],
      ['rows.csv', 'text,label\n"a ""red"", river",yes\nb,no\n'],
    ],
    damage: ['rows.csv'],
  },
  ...['none-page1', 'snappy-page2', 'gzip-page1', 'brotli-page1', 'zstd-page2', 'lz4-page1', 'exact'].map((name) => ({
    name: `parquet-${name}`,
    kind: 'parquet',
    files: [golden(`data/${name}.parquet`)],
    damage: [`${name}.parquet`],
  })),
  {
    name: 'run',
    kind: 'run',
    files: [
      ['run.json', JSON.stringify(run)],
      ['metrics.jsonl', metrics],
      ['environment.json', '{}'],
      ['passes.json', JSON.stringify({ format: 2, passes: [{ ...place, examples: 2 }] })],
      ['samples/prompt-000001.jsonl', lines([{ type: 'header', format: 2 }, sample])],
      ...prompt.map((path) => [join('prompt', basename(path)), readFileSync(path)]),
    ],
    damage: ['run.json', 'metrics.jsonl', 'environment.json', 'passes.json', 'samples/prompt-000001.jsonl'],
  },
  {
    name: 'state',
    kind: 'state',
    files: [
      ['state.json', JSON.stringify(state)],
      ['finished.json', JSON.stringify({ stages: [state] })],
    ],
    damage: ['state.json', 'finished.json'],
  },
  { name: 'answers', kind: 'answers', files: [['answers.jsonl', lines(answers)]], damage: ['answers.jsonl'] },
  {
    name: 'results',
    kind: 'results',
    files: [
      ['results.json', JSON.stringify(results)],
      ['samples-rte.jsonl', lines([{ type: 'header', format: 2 }, sample])],
    ],
    damage: ['results.json', 'samples-rte.jsonl'],
  },
  {
    name: 'looks',
    kind: 'looks',
    files: [
      ['before.jsonl', lines([{ type: 'look', step: 0, look }])],
      ['runs/arm/metrics.jsonl', metrics],
    ],
    damage: ['before.jsonl', 'runs/arm/metrics.jsonl'],
  },
];

/** The corpus laid out in a folder of its own: each source with the folder that a campaign may write into. */
export function layOut() {
  const place = mkdtempSync(join(tmpdir(), 'promot-faults-'));
  const entries = sources.map(({ name, kind, files: all, damage }) => {
    const folder = join(place, name);
    for (const file of all) {
      const [name, content] = typeof file === 'string' ? [basename(file), readFileSync(file)] : file;
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    const sound = new Map(damage.map((file) => [file, readFileSync(join(folder, file))]));
    return { name, kind, folder, sound };
  });
  return { place, entries };
}

/** A fault's file, kept to look at. */
export function keepFile(place, number, entry, file, bytes) {
  const path = join(place, 'found', `${number}-${entry.name}-${basename(file)}`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  return path;
}
