// One rank of training-ranks.test.ts: trains together with the others, and prints one line of JSON: how it ended.
import { execFileSync } from 'node:child_process';
import fs, { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { distributed } from '@promot/torch';
import { playParts, say } from '../../torch/test/rank-parts.mjs';
import { evaluateTasks, evaluateText } from '../dist/evaluation/index.js';
import { generate, generateTurns, score } from '../dist/generation/index.js';
import { Shards, scoreChoices, scoreContinuations } from '../dist/inner.js';
import { loadFolder } from '../dist/models/index.js';
import { train } from '../dist/training/index.js';

const parts = {
  /** Trains. With `rank`, `stage` and `step`, that rank is asked to stop there. */
  async train(rank, { request, rank: chosen, stage: where = 'prompt', step: at }) {
    const abort = new AbortController();
    const held = [];
    const onEvent = ({ type, stage, step, text = '' }) => {
      if (type === 'step' && stage === where && step === at && rank === chosen) abort.abort();
      if (/ held /.test(text)) held.push(text);
    };
    const { finished } = await train({ ...request, signal: abort.signal, onEvent });
    return { finished, ...(held.length > 0 && { held }) };
  },
  async killed(rank, { request, rank: chosen, step: at, event = 'step' }) {
    const onEvent = ({ type, stage, step }) => {
      if (type === event && stage === 'model' && step === at && rank === chosen) process.kill(process.pid, 'SIGKILL');
    };
    return train({ ...request, onEvent });
  },
  /** In the first step of a stage the rank may have so many more bytes of address space; what follows has no limit. */
  async limited(rank, { request, rank: chosen, bytes }) {
    const notes = [];
    // The soft limit, which may be raised again.
    const limit = (most) => execFileSync('prlimit', ['--pid', String(process.pid), `--as=${most}:`]);
    const onEvent = ({ type, text = '' }) => {
      if (type === 'note') notes.push(text);
      if (chosen !== undefined && rank !== chosen) return;
      if (type === 'stage')
        limit(bytes + 1024 * Number(readFileSync('/proc/self/status', 'utf8').match(/VmSize:\s+(\d+)/)[1]));
      if (type === 'step') limit('unlimited');
    };
    const { finished } = await train({ ...request, onEvent });
    return { finished, notes: notes.filter((text) => /memory|microBatchSize=auto/.test(text)) };
  },
  /** A rank has other settings, something else of its own, or another version of promot; what is said then. */
  async differs(rank, { request, rank: chosen, settings, other, version }) {
    const isOther = rank === chosen;
    const own = isOther ? { ...other, settings: { ...request.settings, ...settings } } : {};
    const { readFileSync: read } = fs;
    if (isOther && version !== undefined) {
      fs.readFileSync = (path, ...more) => {
        const text = read(path, ...more);
        return String(path).endsWith('core/package.json') ? JSON.stringify({ ...JSON.parse(text), version }) : text;
      };
      syncBuiltinESMExports();
    }
    try {
      await train({ ...request, ...own });
      return 'nothing';
    } catch (error) {
      return error.message;
    } finally {
      fs.readFileSync = read;
      syncBuiltinESMExports();
    }
  },
  async evaluate(_, { request: { model, task, out } }) {
    const options = { beams: 2, batchSize: 2, nll: true, split: 'validation' };
    return evaluateTasks({ ...options, model, tasks: [task], out });
  },
  /** All that a model is asked for, with `shard` of one that is divided; and how many passes this rank made. */
  async answers(_, { folder, shard }) {
    const [loaded, base] = [loadFolder(folder, 'float32'), loadFolder(folder, 'float32')];
    const { model } = loaded;
    const prompt = model.embedding.narrow(0, 40, 3).clone();
    const range = (start, count) => Array.from({ length: count }, (_, i) => 20 + ((start * 7 + i * 3) % 200));
    const inputs = [3, 9, 5, 6, 7, 4, 8].map((length, i) => range(i, length));
    // Behind a beginning that they share.
    const exemplars = inputs.map((input) => [...range(1, 30), ...input]);
    const targets = inputs.map((input, i) => ({ input, target: range(i + 3, 1 + (i % 3)) }));
    const [few, many] = [{ batchSize: 2 }, { batchSize: 3, prompt }];
    const choices = [range(2, 3), range(3, 1)];
    const questions = (own) => own.map((context) => choices.map((ids) => ({ context, ids })));
    const texts = ['Rivers rose.', 'It rained all day, and nobody went out.', '', 'Good morning! '.repeat(9)];
    const template = '{% for message in messages %}{{ message.content }} {% endfor %}';
    const turns = texts.slice(0, 2).map((content) => ({ messages: [{ role: 'user', content }], template }));
    const isDecoder = model.kind === 'decoder-only';
    const shards = shard ? new Shards(model, 'all') : undefined;
    let passes = 0;
    const { toLogits } = model;
    model.toLogits = (states) => toLogits.call(model, states, passes++);
    const found = {
      beams: await generate(model, inputs, { ...few, beams: 2, maxNewTokens: 6 }),
      greedy: await generate(model, exemplars, { ...many, beams: 1, maxNewTokens: 5, choices }),
      loss: await score(model, targets, many),
      choices: await scoreChoices(model, exemplars, choices, few),
      continuations: await scoreContinuations(model, questions(inputs), many),
      shared: await scoreContinuations(model, questions(exemplars), few),
      ...(isDecoder && {
        turns: await generateTurns(loaded, turns, { maxNewTokens: 5, batchSize: 1 }),
        text: await evaluateText(loaded, texts, { window: 8, base, prompt, batchSize: 2 }),
      }),
    };
    // For 16 rows and more one process lays its weights out anew, which rounds in another way.
    const rows = await generate(model, [...inputs, ...exemplars], { ...many, beams: 2, maxNewTokens: 3 });
    shards?.dispose();
    for (const one of [loaded, base, prompt]) one.dispose();
    return { found, rows, passes };
  },
};

await playParts(async (part, options) => {
  try {
    if (process.env.RANK !== undefined) await distributed.initProcessGroup({ seconds: 60 });
    const result = await parts[part](distributed.getRank(), options);
    await distributed.destroyProcessGroup();
    say({ result });
  } catch (error) {
    await distributed.abortProcessGroup(error);
    say({ error: error.message });
    process.exit(1);
  }
});
