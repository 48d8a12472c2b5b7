// Training where memory does not suffice for the passes that were asked for: the kernel refuses it (RLIMIT_AS), they
// are halved, and the step is not lost.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { ended, Ranks } from '../../torch/test/ranks.js';
import { readPasses } from '../src/artifacts/passes-file.js';
import { goldenModel, smallTask } from './small-task.js';

const { folder, task } = smallTask();
afterAll(() => rmSync(folder, { recursive: true, force: true }));
// 24 examples of some 350 tokens: a pass of all takes about 250 MB, with the attention kernel of AVX2 over 140. A pass
// of one takes 10 MB.
const lines = readFileSync(join(folder, 'train.jsonl'), 'utf8').trim().split('\n').slice(0, 12);
writeFileSync(
  join(folder, 'train.jsonl'),
  lines
    .map((line, i) => {
      const record = JSON.parse(line) as { text: string };
      return `${JSON.stringify({ ...record, text: `${record.text} `.repeat(24 + (i % 2)) })}\n`;
    })
    .join(''),
);
const enough = 2 ** 36;
const tooLittle = 140e6;
// The kernel counts what malloc sets aside for each thread.
process.env.MALLOC_ARENA_MAX = '1';

const script = fileURLToPath(new URL('rank-child.mjs', import.meta.url));
/** In processes of their own: what others have left free would count. */
async function together(out: string, bytes: number, more: { shard?: true }) {
  const ranks = new Ranks(script);
  const all = await ranks.play(2, 'limited', options(out, bytes, { rank: 1, ...more }));
  await ranks.close();
  return all;
}
const options = (out: string, bytes: number, { shard, ...more }: { shard?: true; rank?: number } = {}) => ({
  bytes,
  ...more,
  request: {
    model: goldenModel('t5-v1.1'),
    task,
    method: 'fine-tune',
    out: join(folder, out),
    settings: {
      preset: 'paper',
      precision: 'fp32',
      dropout: 0,
      beams: 1,
      batchSize: 24,
      microBatchSize: 'auto',
      ...(shard && { shard }),
      stage2: { steps: 1, keepEvery: 1 },
    },
  },
});
const losses = (out: string) =>
  readFileSync(join(folder, out, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .flatMap((line) => (JSON.parse(line) as { loss?: number }).loss ?? []);

const hasLimits = spawnSync('prlimit', ['--version']).status === 0;

test.skipIf(!hasLimits)(
  'passes are halved, on one process and where one of two lacks memory, with a whole and with a divided model',
  { timeout: 400_000 },
  async () => {
    const alone = (out: string, bytes: number) =>
      ended(process.execPath, [script, 'limited', JSON.stringify(options(out, bytes))], {});
    const chosen = 'stage model: passes have at most 24 examples (microBatchSize=auto)';
    expect((await alone('whole', enough)).said?.result).toEqual({ finished: true, notes: [chosen] });
    const halved = await alone('halved', tooLittle);
    const notes = [chosen, 'stage model: step 1: memory did not suffice; from here on passes have at most 12 examples'];
    expect(halved.said).toMatchObject({ result: { finished: true, notes: expect.arrayContaining(notes) } });
    expect(readPasses(join(folder, 'halved'))[0]!.examples).toBeLessThan(24);
    // Rank 1 of two has 12 of 24 examples, and not the memory for them.
    const all = await together('together', 48e6, {});
    expect(readPasses(join(folder, 'together'))[0]!.examples).toBeLessThan(12);
    for (const one of all) expect(one.said?.result).toMatchObject({ finished: true });
    // The same where the model is divided, and the ranks wait for each other in the midst of a pass.
    const both = await together('divided', 42e6, { shard: true });
    for (const one of both) expect(one.said?.result).toMatchObject({ finished: true });
    expect(readPasses(join(folder, 'divided'))[0]!.examples).toBeLessThan(12);
    const wanted = losses('whole');
    for (const out of ['halved', 'together', 'divided'])
      losses(out).forEach((loss, i) => {
        expect(Math.abs(loss - wanted[i]!)).toBeLessThan(1e-5);
      });
  },
);
