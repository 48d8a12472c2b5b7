// `promot train` with several tasks and a keep list: flags, the JSON answer, the command that it says comes next.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { otherTask, smallModel, smallTask } from '../../core/test/small-task.js';
import { runCli } from '../src/cli/program.js';

const { folder, task } = smallTask();
const other = otherTask(folder);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

class Collect extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

async function promot(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const [stdout, stderr] = [new Collect(), new Collect()];
  const code = await runCli(args, { stdout, stderr, exitCode: 0 });
  return { code, out: stdout.text, err: stderr.text };
}

const out = join(folder, 'run');
const flags = ['train', '--model', smallModel(), '--task', `${task},${other}`, '--method', 'promot', '--out'];
const brief = [
  'precision=fp32',
  'batchSize=4',
  'promptLength=2',
  'beams=1',
  'validationLimit=2',
  'stage1.steps=1',
  'stage2.steps=1',
  'mixing=size',
  'keep.shots=0',
  'keep.limit=2',
];

test('two tasks with a keep list', async () => {
  const { code, out: text, err } = await promot(...flags, out, '--set', ...brief, 'keep.tasks=[lab-rte]', '--json');
  expect(code).toBe(0);
  const { metric, stages, next } = JSON.parse(text) as { metric: string; stages: object[]; next: string };
  expect(metric).toBe('mean');
  expect(stages).toMatchObject([
    { stage: 'prompt', task: 'colours' },
    { stage: 'prompt', task: 'shades' },
    { stage: 'model', best: { step: 1, keepAverage: expect.any(Number) } },
  ]);
  expect(next).toBe(`promot eval --model ${out} --prompt ${out}/prompts/colours --task ${task} --shots 0`);
  expect(err).toMatch(/Stage prompt shades: .*\n/);
  expect(err).toMatch(/model step 0: keep list [\d.]+: lab-rte/);
  expect(err).toMatch(/points of the keep list lost/);
});

test('what is wrong with the lists is told in a line, and nothing is written', async () => {
  const refused = async (message: RegExp, ...set: string[]) => {
    const { code, err } = await promot(...flags, join(folder, 'refused'), '--set', ...brief, ...set);
    expect(code).toBe(2);
    expect(err.trim().split('\n').at(-1)).toMatch(message);
  };
  await refused(/--set keep\.tasks=lab-rte: setting keep\.tasks: .*a list of tasks, such as/, 'keep.tasks=lab-rte');
  await refused(/unknown task "lab-rti"/, 'keep.tasks=[lab-rti]');
  await refused(/--set replay\.shares=0\.1: unknown setting replay\.shares.*replay\.share/, 'replay.shares=0.1');
});
