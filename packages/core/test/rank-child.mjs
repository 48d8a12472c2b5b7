// One rank of training-ranks.test.ts: trains together with the others, and prints one line of JSON: how it ended.
import { execFileSync } from 'node:child_process';
import fs, { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { distributed } from '@promot/torch';
import { playParts, say } from '../../torch/test/rank-parts.mjs';
import { evaluateTasks } from '../dist/evaluation/evaluate-tasks.js';
import { train } from '../dist/training/train.js';

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
  async killed(rank, { request, rank: chosen, step: at }) {
    const onEvent = ({ type, stage, step }) => {
      if (type === 'step' && stage === 'model' && step === at && rank === chosen) process.kill(process.pid, 'SIGKILL');
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
