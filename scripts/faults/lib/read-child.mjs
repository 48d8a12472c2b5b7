// Reads the files of a folder as promot does. Started by LimitedProcess.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer } from './answer.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const core = (path) => import(new URL(`../../../packages/core/dist/${path}`, import.meta.url).href);
const { noGrad, scope, tensor } = await import(new URL('../../../packages/torch/dist/index.js', import.meta.url).href);
const { loadFolder, buildModel } = await core('models/load.js');
const { openCheckpoint } = await core('models/checkpoint.js');
const { CheckpointWeights } = await core('models/weights.js');
const { openGguf } = await core('models/families/gguf.js');
const { readGguf } = await core('formats/gguf.js');
const { dequantize } = await core('formats/dequantize.js');
const { withFile } = await core('formats/reader.js');
const { tokenizerFromGguf } = await core('tokenizer/gguf.js');
const { loadTokenizer } = await core('tokenizer/load.js');
const { ChatTemplate } = await core('tokenizer/chat-template.js');
const { readLoraAdapter } = await core('adapters/lora-adapter.js');
const { readPromptAdapter } = await core('adapters/peft.js');
const { loadTask } = await core('tasks/registry.js');
const { readRunSamples, readTrainingRun } = await core('artifacts/training-run.js');
const { readEvaluation } = await core('artifacts/evaluation-folder.js');
const { readPasses } = await core('artifacts/passes-file.js');
const { readFinished, readState } = await core('artifacts/state-file.js');
const { readAnswers } = await core('artifacts/answers-file.js');
const { openModel, openPrompt } = await core('open/open.js');
const experiments = (path) =>
  import(new URL(`../../../packages/promot/dist/experiments/${path}`, import.meta.url).href);
const { earlyStopOf, looksOfArm, stepsOf } = await experiments('real/looks.js');

const golden = (path) => join(root, 'packages/core/golden', path);
const models = new Map();
function base(name) {
  if (!models.has(name)) {
    const folder = golden(name);
    const checkpoint = openCheckpoint(folder);
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    models.set(name, buildModel(config, new CheckpointWeights(folder, checkpoint.tensors, 'float32'), folder));
    checkpoint.close();
  }
  return models.get(name);
}
const speak = (tokenizer) => {
  for (const text of ['the cat sees it', 'Ünïcode \u2603 <x>\n', '', `${'a'.repeat(50)}b`])
    tokenizer.decode(tokenizer.encode(text));
};
const first = (folder, extension) =>
  join(
    folder,
    readdirSync(folder).find((name) => name.endsWith(extension)),
  );

const readers = {
  model(folder) {
    const loaded = loadFolder(folder, 'float32');
    try {
      speak(loaded.tokenizer);
      scope(() => noGrad(() => loaded.model.logits([{ input: [1, 2], target: [3, 4] }])));
    } finally {
      loaded.dispose();
    }
  },
  // Without a tokenizer: those of the corpus have none.
  gguf(folder) {
    const path = first(folder, '.gguf');
    const { config, tensors } = openGguf(path);
    const loadable = [...tensors].map(([name, { shape, read }]) => [
      name,
      { shape, load: () => tensor(read(), { shape }) },
    ]);
    const model = buildModel(config, new CheckpointWeights(path, new Map(loadable), 'float32'), path);
    scope(() => noGrad(() => model.logits([{ input: [1, 2], target: [3, 4] }])));
    for (const parameter of model.parameters.values()) parameter.dispose();
  },
  'gguf-tensors'(folder) {
    const { path, tensors } = readGguf(first(folder, '.gguf'));
    for (const { type, shape, byteOffset, byteLength } of tensors)
      dequantize(
        type,
        withFile(path, (file) => file.read(byteOffset, byteLength)),
        shape.reduce((a, b) => a * b, 1),
      );
  },
  'gguf-tokenizer'(folder) {
    const path = first(folder, '.gguf');
    speak(tokenizerFromGguf(readGguf(path).metadata, path));
  },
  tokenizer: (folder) => speak(loadTokenizer(folder)),
  chat(folder) {
    const path = first(folder, '.jinja');
    const template = new ChatTemplate(readFileSync(path, 'utf8'), { bos_token: '<s>', eos_token: '</s>' }, path);
    template.renderSpans([
      { role: 'user', content: 'red?' },
      { role: 'assistant', content: 'yes' },
    ]);
  },
  lora: (folder) => readLoraAdapter(folder, base('adapters/untied')).detach(),
  prompt: (folder) => readPromptAdapter(folder, base('models/llama')).dispose(),
  async task(folder) {
    const task = await loadTask(join(folder, 'task.yaml'));
    for (const split of ['train', 'validation']) await task.load(split);
  },
  async parquet(folder) {
    const { readRecords } = await core('data/records.js');
    const { records } = await readRecords(first(folder, '.parquet'));
    JSON.stringify(records, (_key, value) => (typeof value === 'bigint' ? String(value) : value));
  },
  async run(folder) {
    readTrainingRun(folder);
    readRunSamples(folder, 'prompt', 1);
    readPasses(folder);
    const loaded = await openModel(folder, 'float32', { hub: { offline: true } });
    try {
      openPrompt(folder, loaded.model)?.dispose();
    } finally {
      loaded.dispose();
    }
  },
  state(folder) {
    readState(join(folder, 'state.json'));
    readFinished(join(folder, 'finished.json'));
  },
  answers: (folder) => readAnswers(join(folder, 'answers.jsonl')),
  results: (folder) => readEvaluation(folder),
  looks(folder) {
    looksOfArm(folder, { name: 'before', method: 'before training', seed: 0 });
    const arm = { name: 'arm', method: 'fine-tuning', seed: 0, train: 'fine-tune' };
    stepsOf(folder, arm);
    for (const looks of [looksOfArm(folder, arm), earlyStopOf(folder, arm)]) JSON.stringify(looks);
  },
};

answer(async ({ kind, folder }) => {
  await readers[kind](folder);
});
