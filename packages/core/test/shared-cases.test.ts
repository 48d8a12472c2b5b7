// The small inputs of ../shared/cases: each comes out as Transformers, PEFT or plain comparison has it (skipped where
// the folder is absent).
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { scoreText } from '../src/generation/texts.js';
import { mergeLora } from '../src/merging/merge.js';
import { computeMetricOnFiles } from '../src/metrics/metric-files.js';
import { loadFolder } from '../src/models/load.js';
import { openPrompt } from '../src/open/open.js';
import { loadTask } from '../src/tasks/registry.js';
import { loadTokenizer } from '../src/tokenizer/load.js';
import { dryRun } from '../src/training/dry-run.js';
import { train } from '../src/training/train.js';
import { goldenModel } from './small-task.js';

const cases = fileURLToPath(new URL('../../../../shared/cases/', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'promot-cases-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe.skipIf(!existsSync(cases))('../shared/cases', () => {
  test.each([
    ['lora_pissa', 7.3338],
    ['lora_rank', 7.6064],
    ['lora_save', 7.8309],
    ['lora_head', 7.7976],
    ['lora_plain', 7.531],
  ])("%s scores as PEFT's", async (name, loss) => {
    using loaded = loadFolder(goldenModel('llama'), 'float32');
    openPrompt(join(cases, name), loaded.model);
    expect((await scoreText(loaded, ' the cat', ' sees it')).loss).toBeCloseTo(loss, 4);
  });

  test('lora_alora is refused by the name of its key', () => {
    using loaded = loadFolder(goldenModel('llama'), 'float32');
    expect(() => openPrompt(join(cases, 'lora_alora'), loaded.model)).toThrow(
      /alora_invocation_tokens is \[266,64,83\]/,
    );
  });

  test('mt5_bytefallback', () => {
    using loaded = loadFolder(join(cases, 'mt5_bytefallback/model'), 'float32');
    expect(loaded.tokenizer.encode('the cat sees')).toEqual([267, 259, 279, 272, 259, 259, 262, 1]);
  });

  test('byt5_model', async () => {
    using loaded = loadFolder(join(cases, 'byt5_model'), 'float32');
    const { loss, tokens } = await scoreText(loaded, '<tool> hi', '<tool>yes');
    expect([tokens, loaded.tokenizer.encode('<tool>yes')]).toEqual([5, [384, 124, 104, 118, 1]]);
    expect(loss).toBeCloseTo(6.2156, 4);
  });

  test.each(['tk_pp_onlyeosfalse', 'tk_pp_bosfalse'])('%s', (name) => {
    expect(loadTokenizer(join(cases, name)).encode('hello world')).toEqual([300, 256, 298, 78, 268, 264, 293]);
  });

  test('bigint: a target keeps all its digits', async () => {
    const task = await loadTask(join(cases, 'bigint/bigint.yaml'));
    const [first] = await task.load('train');
    expect(first!.target).toBe('1234567890123456789');
    const { examples } = await dryRun({
      model: goldenModel('t5-v1.0'),
      task: join(cases, 'bigint/bigint.yaml'),
      method: 'fine-tune',
      out: join(out, 'b'),
    });
    expect(examples[0]!.target).toBe('1234567890123456789');
  });

  test('qgen: a target that holds "Q:" is learned and scored whole', { timeout: 120_000 }, async () => {
    const stage2 = { steps: 150, keepEvery: 150, learningRate: 0.01 };
    const { stages } = await train({
      model: goldenModel('t5-v1.0'),
      task: join(cases, 'qgen/qgen.yaml'),
      method: 'fine-tune',
      out: join(out, 'q'),
      settings: { batchSize: 2, stage2, dropout: 0, labelSmoothing: 0, beams: 1, precision: 'fp32' },
    });
    expect(stages.at(-1)!.best.score).toBe(100);
  });

  test('metric: four of five lines are equal', async () => {
    const file = (name: string) => join(cases, 'metric', name);
    expect((await computeMetricOnFiles('accuracy', file('p2.txt'), file('r2.txt'))).score).toBe(80);
    expect((await computeMetricOnFiles('accuracy', file('r2.txt'), file('r2.txt'))).score).toBe(100);
  });

  test('chat keeps its template and its generation settings', async () => {
    const folder = join(out, 'merged');
    await mergeLora({ model: join(cases, 'chat'), adapter: join(cases, 'lora_plain'), out: folder });
    for (const name of ['chat_template.jinja', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])
      expect([name, readFileSync(join(folder, name))]).toEqual([name, readFileSync(join(cases, 'chat', name))]);
    expect(readFileSync(join(folder, 'README.md'), 'utf8')).toContain('made from a local copy of chat');
  });
});
