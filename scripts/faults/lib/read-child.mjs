// Reads the files of a folder as promot does. Started by LimitedProcess.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer } from './answer.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const built = (path) => import(new URL(`../../../packages/${path}`, import.meta.url).href);
const { fromBytes, noGrad, scope } = await built('torch/dist/index.js');
const { buildModel, loadFolder } = await built('core/dist/models/index.js');
const { readRecords } = await built('core/dist/data/index.js');
const { earlyStopOf, looksOfArm, stepsOf } = await built('promot/dist/inner.js');
const {
  ChatTemplate,
  CheckpointWeights,
  dequantize,
  loadTask,
  loadTokenizer,
  openCheckpoint,
  openGguf,
  openModel,
  openPrompt,
  readAnswers,
  readEvaluation,
  readFinished,
  readGguf,
  readLoraAdapter,
  readPasses,
  readPromptAdapter,
  readRunSamples,
  readState,
  readTrainingRun,
  tokenizerFromGguf,
  withFile,
} = await built('core/dist/inner.js');

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
    const { config, tensors, close } = openGguf(path);
    const model = buildModel(config, new CheckpointWeights(path, tensors, 'float32'), path);
    close();
    scope(() => noGrad(() => model.logits([{ input: [1, 2], target: [3, 4] }])));
    for (const parameter of model.parameters.values()) parameter.dispose();
  },
  'gguf-tensors'(folder) {
    const { path, tensors } = readGguf(first(folder, '.gguf'));
    for (const { type, shape, byteOffset, byteLength } of tensors) {
      const bytes = withFile(path, (file) => file.read(byteOffset, byteLength));
      scope(() => dequantize(type, fromBytes(bytes, 'uint8', [byteLength]), shape));
    }
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
