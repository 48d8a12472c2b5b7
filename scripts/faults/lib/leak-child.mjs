// Repeats a work (scripts/faults/leak.mjs) and answers with samples of live tensors and memory. Started by runLimited.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { answer } from './answer.mjs';

const built = (path) => import(new URL(`../../../packages/${path}`, import.meta.url).href);
const { trimMemory } = await built('torch/dist/index.js');
const { native } = await built('torch/dist/inner.js');
const { train } = await built('core/dist/training/index.js');
const { openModel } = await built('core/dist/open/index.js');
const { generate } = await built('core/dist/generation/index.js');
const golden = (name) => fileURLToPath(new URL(`../../../packages/core/golden/${name}`, import.meta.url));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

function sample() {
  collect();
  trimMemory(0);
  return { tensors: native.liveTensors(0n), megabytes: process.memoryUsage.rss() / 2 ** 20 };
}

const works = {
  /** One training, for as long as there is time. */
  async steps({ runs, seconds, cases }) {
    const end = Date.now() + 1000 * seconds;
    const abort = new AbortController();
    const samples = [];
    let count = 0;
    const stage = { steps: 1_000_000, keepEvery: 1_000_000 };
    const settings = { ...runs[1].settings, stage1: stage, stage2: { ...stage, learningRate: 0.001 } };
    const onEvent = ({ type }) => {
      if (type !== 'step') return;
      if (count++ % 20 === 0) samples.push(sample());
      if (Date.now() > end || count >= cases) abort.abort();
    };
    await train({ ...runs[1], settings, onEvent, signal: abort.signal });
    return { samples, count };
  },

  /** Whole runs of each method in turn, a model opened and asked, files that cannot be read. */
  async works({ runs, seconds, folder, cases }) {
    const end = Date.now() + 1000 * seconds;
    const samples = [];
    const damaged = join(folder, 'damaged');
    mkdirSync(damaged, { recursive: true });
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'])
      cpSync(golden(`models/llama/${name}`), join(damaged, name));
    const weights = readFileSync(join(damaged, 'model.safetensors'));
    let count = 0;
    for (; !(count >= cases) && (count < 3 || Date.now() < end); count++) {
      const one = runs[count % runs.length];
      const out = join(folder, 'again');
      await train({ ...one, out, onEvent: () => {} });
      rmSync(out, { recursive: true });
      const loaded = await openModel(golden('models/llama'), 'float32', { hub: { offline: true } });
      await generate(loaded.model, [loaded.tokenizer.encode('the cat')], { beams: 2, maxNewTokens: 8 });
      loaded.dispose();
      for (const cut of [weights.length - 8, Math.floor(weights.length / 2)]) {
        writeFileSync(join(damaged, 'model.safetensors'), weights.subarray(0, cut));
        await openModel(damaged, 'float32', { hub: { offline: true } }).then(
          () => {
            throw new Error('a cut file was read');
          },
          () => {},
        );
      }
      samples.push(sample());
    }
    return { samples, count };
  },
};

answer((request) => works[request.work](request));
