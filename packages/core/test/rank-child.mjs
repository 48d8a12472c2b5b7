// One rank of training-ranks.test.ts: trains together with the others, and prints one line of JSON: how it ended.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { distributed } from '@promot/torch';
import { evaluateTasks } from '../dist/evaluation/evaluate-tasks.js';
import { train } from '../dist/training/train.js';

const [part, json = '{}'] = process.argv.slice(2);
const { request, requests, rank: chosen, step: at, stage: where = 'prompt', settings, other, bytes } = JSON.parse(json);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const parts = {
  /** One run, or several one after the other. With `rank`, `stage` and `step`, that rank is asked to stop there. */
  async train(rank) {
    if (requests === undefined) return parts.run(request, rank);
    const all = [];
    for (const one of requests) all.push(await parts.run(one, rank));
    return all;
  },
  async run(one, rank) {
    const abort = new AbortController();
    const held = [];
    const onEvent = ({ type, stage, step, text = '' }) => {
      if (type === 'step' && stage === where && step === at && rank === chosen) abort.abort();
      if (/ held /.test(text)) held.push(text);
    };
    const { finished } = await train({ ...one, signal: abort.signal, onEvent });
    return { finished, ...(held.length > 0 && { held }) };
  },
  async killed(rank) {
    const onEvent = ({ type, stage, step }) => {
      if (type === 'step' && stage === 'model' && step === at && rank === chosen) process.kill(process.pid, 'SIGKILL');
    };
    return train({ ...request, onEvent });
  },
  /** In the first step of a stage the rank may have so many more bytes of address space; what follows has no limit. */
  async limited(rank) {
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
  /** A rank has other settings, or something else of its own. */
  async differs(rank) {
    const own = rank === chosen ? { settings: {}, ...other } : { settings: {} };
    return train({ ...request, ...own, settings: { ...request.settings, ...(rank === chosen && settings) } });
  },
  async evaluate() {
    const { model, task, out } = request;
    const options = { beams: 2, batchSize: 2, nll: true, split: 'validation' };
    return evaluateTasks({ ...options, model, tasks: [task], out, limit: at });
  },
};

try {
  if (process.env.RANK !== undefined) await distributed.initProcessGroup({ seconds: 60 });
  const result = await parts[part](distributed.getRank());
  await distributed.destroyProcessGroup();
  say({ result });
} catch (error) {
  await distributed.abortProcessGroup(error);
  say({ error: error.message });
  process.exit(1);
}
