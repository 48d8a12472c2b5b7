// The command line as a person or a script meets it: answers, exit codes, messages. In-process, on the tiny golden
// models.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { libtorch, writeSafetensors, zeros } from '@promot/torch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { promot } from '../../test/command-line.js';

const golden = fileURLToPath(new URL('../../../core/golden/models', import.meta.url));
const t5 = join(golden, 't5-v1.1');
const llama = join(golden, 'llama');
let folder: string;
let task: string;

/** The one JSON object on standard output. */
async function json(...args: string[]) {
  const { code, out, err } = await promot(...args, '--json');
  expect(err.replace(/^(note|.*examples|Stage|\w+ step).*$/gmu, '').trim()).toBe('');
  expect(code).toBe(0);
  return JSON.parse(out) as Record<string, unknown>;
}

function writeTask(name: string, changes: Record<string, string> = {}, train?: string): string {
  const fields = {
    name,
    files: `{ train: ${name}-train.jsonl, validation: ${name}-validation.jsonl }`,
    input: '"{question} answer:"',
    target: '"{label}"',
    labels: '["True", "False"]',
    metric: 'accuracy',
    ...changes,
  };
  const line = (i: number) => JSON.stringify({ question: `Is ${i} odd?`, label: i % 2 ? 'True' : 'False' });
  const lines = (count: number) => Array.from({ length: count }, (_, i) => `${line(i)}\n`).join('');
  writeFileSync(join(folder, `${name}-train.jsonl`), train ?? lines(8));
  writeFileSync(join(folder, `${name}-validation.jsonl`), lines(4));
  const path = join(folder, `${name}.yaml`);
  writeFileSync(
    path,
    Object.entries(fields)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(''),
  );
  return path;
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'promot-cli-'));
  task = writeTask('odd');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('answers', () => {
  test('score gives loss, tokens, logprobs', async () => {
    const { loss, tokens, logprobs } = await json('score', '--model', t5, '--input', '', '--target', 'morning');
    expect(tokens).toBe((logprobs as number[]).length);
    const sum = (logprobs as number[]).reduce((a, b) => a + b, 0);
    expect(loss).toBeCloseTo(-sum / (tokens as number), 6);
    const prompted = await json(
      'score',
      '--model',
      t5,
      '--prompt',
      join(t5, 'prompt'),
      '--input',
      '',
      '--target',
      'morning',
    );
    expect(prompted.loss).not.toBeCloseTo(loss as number, 3);
  });

  test('generate gives text for an input, outputs for a file', async () => {
    const flags = ['--model', llama, '--prompt', join(llama, 'prompt'), '--max-new-tokens', '4', '--beams', '2'];
    const one = await json('generate', ...flags, '--input', 'The river');
    expect(Object.keys(one)).toEqual(['text']);
    writeFileSync(join(folder, 'inputs.txt'), 'The river\nA garden\n');
    const { outputs } = await json('generate', ...flags, '--input', `@${join(folder, 'inputs.txt')}`);
    expect(outputs).toEqual([
      { input: 'The river', text: one.text },
      { input: 'A garden', text: expect.any(String) },
    ]);
    writeFileSync(join(folder, 'inputs.jsonl'), '"The river"\n"two\\nlines"\n');
    const lines = await json('generate', ...flags, '--input', `@${join(folder, 'inputs.jsonl')}`);
    expect((lines.outputs as { input: string }[]).map(({ input }) => input)).toEqual(['The river', 'two\nlines']);
  });

  test('metric', async () => {
    writeFileSync(join(folder, 'p.txt'), 'True, so\nno\n');
    writeFileSync(join(folder, 'r.txt'), 'True\nFalse\n');
    const files = ['--predictions', join(folder, 'p.txt'), '--references', join(folder, 'r.txt')];
    expect(await json('metric', 'accuracy', ...files)).toEqual({
      metric: 'accuracy',
      score: 50,
      n: 2,
      signature: expect.stringContaining('accuracy'),
    });
    const bleu = await json('metric', 'bleu', ...files, '--set', 'tokenize=intl');
    expect(bleu.signature).toContain('intl');
  });

  test('doctor', async () => {
    const { findings } = JSON.parse((await promot('doctor', '--json')).out) as { findings: { name: string }[] };
    expect(findings.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['libtorch', 'addon', 'cpu', 'threads', 'cuda']),
    );
    expect((await promot('doctor')).out).toMatch(/^libtorch\s+\d/mu);
  });

  test('train, eval with the run as model and prompt, resume', async () => {
    const out = join(folder, 'run');
    const config = join(folder, 'config.yaml');
    writeFileSync(
      config,
      'batchSize: 4\npromptLength: 3\nstage1:\n  steps: 9\n  keepEvery: 2\nstage2: { steps: 1, keepEvery: 1 }\n',
    );
    const flags = ['--model', t5, '--task', task, '--method', 'promot', '--out', out, '--config', config];
    const settings = ['--set', 'stage1.steps=2', 'beams=1', '--set', 'promptInit=text:odd: or even', 'precision=fp32'];
    const trained = await json('train', ...flags, ...settings);
    expect(trained).toMatchObject({ out, finished: true, metric: 'accuracy' });
    expect((trained.stages as { stage: string }[]).map(({ stage }) => stage)).toEqual(['prompt', 'model']);
    expect(trained.next).toContain(`eval --model ${out} --prompt ${out}`);
    const lines = readFileSync(join(out, 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { stage: string; step: number; loss?: number });
    expect(lines.filter(({ loss }) => loss !== undefined).map(({ stage, step }) => `${stage} ${step}`)).toEqual([
      'prompt 1',
      'prompt 2',
      'model 1',
    ]);

    const results = join(folder, 'results');
    const evaluated = await json(
      'eval',
      '--model',
      out,
      '--prompt',
      out,
      '--task',
      task,
      '--shots',
      '1',
      '--limit',
      '3',
      '--beams',
      '1',
      '--out',
      results,
    );
    expect(evaluated).toMatchObject({
      metric: 'accuracy',
      n: 3,
      shots: 1,
      out: results,
      formShare: expect.any(Number),
    });
    expect(evaluated.likelihood).toEqual({ raw: expect.any(Number), perToken: expect.any(Number) });
    const written = JSON.parse(readFileSync(join(results, 'results.json'), 'utf8')) as Record<string, unknown>;
    expect(written).toMatchObject({
      tasks: [{ score: evaluated.score }],
      modelFingerprint: expect.stringMatching(/^[0-9a-f]{64}$/u),
    });
    const [, ...samples] = readFileSync(join(results, 'samples-odd.jsonl'), 'utf8').trim().split('\n');
    expect(samples).toHaveLength(3);
    expect(JSON.parse(samples[0]!)).toMatchObject({
      input: expect.stringMatching(/answer: (True|False)\n\nIs 0 odd\? answer:$/u),
    });

    // Several tasks, and again for nothing; then side by side with the first.
    const second = writeTask('even');
    const several = join(folder, 'several');
    const evalFlags = [
      '--model',
      t5,
      '--task',
      `${task},${second}`,
      '--beams',
      '1',
      '--limit',
      '3',
      '--shots',
      '1',
      '--out',
      several,
    ];
    const report = await json('eval', ...evalFlags, '--set', 'nll=true');
    expect(report).toMatchObject({
      tasks: [{ task: 'odd', nll: expect.any(Number) }, { task: 'even' }],
      average: expect.any(Number),
    });
    const repeated = await promot('eval', ...evalFlags, '--set', 'nll=true');
    expect(repeated.err).toContain('odd: nothing to compute, all 9 answers are in');
    expect(repeated.out).toMatch(/^task +shots +metric +score .*\nodd@/u);
    const compared = await json('compare', results, several);
    expect(compared.tasks).toMatchObject([
      { task: 'odd', n: 3, scores: [{}, { pValue: expect.any(Number) }] },
      { task: 'even' },
    ]);
    const shown = await promot('compare', results, several);
    expect(shown).toMatchObject({ code: 0, out: expect.stringMatching(/^odd +accuracy +3 /mu) });

    const again = await promot('train', ...flags, ...settings);
    expect(again).toMatchObject({ code: 2, err: expect.stringContaining('--resume') });
    expect((await json('train', ...flags, ...settings, '--resume')).stages).toEqual(trained.stages);
    const info = readFileSync(join(out, 'run.json'), 'utf8');
    const fewer = await promot('train', ...flags, '--set', 'stage1.steps=1', '--resume');
    expect(fewer).toMatchObject({
      code: 2,
      err: expect.stringContaining('other settings (stage1.steps was 2, not 1)'),
    });
    const more = await promot('train', '--resume', out, '--set', 'stage1.steps=3');
    expect(more).toMatchObject({ code: 2, err: expect.stringContaining('cannot have more steps') });
    expect(readFileSync(join(out, 'run.json'), 'utf8')).toBe(info);
    expect((await json('train', '--resume', out)).stages).toEqual(trained.stages);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s saves, says how to go on, and exits with %i', async (signal, exitCode) => {
    const out = join(folder, `interrupted-${signal}`);
    const flags = ['--model', t5, '--task', task, '--method', 'fine-tune', '--out', out];
    const settings = ['--set', 'batchSize=2', 'stage2.steps=100000', 'stage2.keepEvery=100000'];
    const running = promot('train', ...flags, ...settings);
    while (!existsSync(join(out, 'metrics.jsonl'))) await setTimeout(20);
    process.emit(signal, signal);
    const { code, out: text } = await running;
    expect(code).toBe(exitCode);
    expect(process.listenerCount(signal)).toBe(0);
    expect(text).toContain(`To go on: promot train --resume ${out}`);
    expect(readdirSync(join(out, 'checkpoints'))).toEqual([expect.stringMatching(/^model-\d{6}$/u)]);
  });

  test('Ctrl-C ends an evaluation, says how to go on, and exits with 130', async () => {
    const out = join(folder, 'eval-interrupted');
    const flags = ['eval', '--model', t5, '--task', task, '--out', out, '--set', 'batchSize=1', 'maxNewTokens=100'];
    const running = promot(...flags);
    const answers = join(out, 'answers');
    const answered = () => readdirSync(answers).some((name) => readFileSync(join(answers, name)).includes('"output"'));
    while (!existsSync(answers) || !answered()) await setTimeout(1);
    process.emit('SIGINT', 'SIGINT');
    const { code, out: text, err } = await running;
    expect(code).toBe(130);
    expect(text).toBe('');
    expect(err).toMatch(/^Finishing the batch; Ctrl-C again ends at once\.$/mu);
    expect(err).toContain(`Stopped. The same command goes on with the answers in ${out}.`);
    expect(existsSync(join(out, 'results.json'))).toBe(false);
    const rest = await promot(...flags);
    expect(rest.code).toBe(0);
    expect(rest.err).toMatch(/odd: goes on, \d+ of 8 answers are in/u);
  });

  test('a dry run describes the run and makes no folder', async () => {
    const out = join(folder, 'dry');
    const flags = [
      '--model',
      llama,
      '--task',
      task,
      '--method',
      'promot',
      '--out',
      out,
      '--set',
      'maxInputLength=6',
      'promptLength=7',
    ];
    const found = await json('train', ...flags, '--dry-run');
    const device = libtorch().cuda ? 'cuda' : 'cpu';
    expect(found).toMatchObject({ trainExamples: 8, validationExamples: 4, cutInputs: 8, device });
    const stages = found.stages as {
      stage: string;
      trainedParameters: number;
      seconds: number;
      memory: { total: number };
    }[];
    expect(stages.map(({ stage, trainedParameters }) => [stage, trainedParameters])).toEqual([
      ['prompt', 7 * 128],
      ['model', found.parameters],
    ]);
    for (const { seconds, memory } of stages) {
      expect(seconds).toBeGreaterThan(0);
      expect(memory.total).toBeGreaterThan(1e8);
    }
    const [example] = found.examples as { promptRows: number; inputTokens: unknown[]; cutTokens: number }[];
    expect(example).toMatchObject({ promptRows: 7, inputTokens: expect.any(Array) });
    expect(example!.inputTokens).toHaveLength(6);
    expect(example!.cutTokens).toBeGreaterThan(0);
    expect((await promot('train', ...flags, '--dry-run')).out).toContain('[7 prompt rows]');
    const oneShot = await json('train', ...flags, '--set', 'shots=1', '--dry-run');
    expect((oneShot.examples as { input: string }[])[0]!.input).toMatch(/answer: (True|False)\n\nIs 0 odd\? answer:$/u);
    expect(existsSync(out)).toBe(false);
  });

  test('a dry run counts articles that the task itself cuts', async () => {
    const data = join(folder, 'articles');
    mkdirSync(join(data, 'xsum'), { recursive: true });
    const line = (words: number) => `${JSON.stringify({ document: 'river '.repeat(words), summary: 'A river.' })}\n`;
    for (const split of ['train', 'validation', 'test'])
      writeFileSync(join(data, 'xsum', `${split}.jsonl`), line(3000) + line(10));
    const flags = [
      '--model',
      t5,
      '--task',
      'xsum',
      '--data',
      data,
      '--method',
      'fine-tune',
      '--out',
      join(folder, 'no'),
    ];
    expect(await json('train', ...flags, '--dry-run')).toMatchObject({ trainExamples: 2, cutInputs: 1 });
    expect((await promot('train', ...flags, '--dry-run')).out).toContain(
      'Cut by the task itself: 1 training inputs (50.0 %)',
    );
  });

  test('help needs no flags and no libtorch', async () => {
    const { code, out } = await promot('train', '--help');
    expect(code).toBe(0);
    expect(out).toContain('--dry-run');
    expect((await promot('--version')).out).toMatch(/^\d+\.\d+/u);
  });
});

describe('bad input: one message of a line or two, exit 2', () => {
  const refused = async (pattern: RegExp, ...args: string[]) => {
    const { code, out, err } = await promot(...args);
    expect(err).toMatch(pattern);
    // Notes on the data may come first.
    const lines = err.trim().split('\n');
    expect(lines.filter((line) => !line.startsWith('note: ')).length).toBeLessThanOrEqual(2);
    expect(err).not.toMatch(/\n\s+at /u);
    expect(out).toBe('');
    expect(code).toBe(2);
  };
  /** A refused training run makes no run folder. */
  const refusedRun = async (pattern: RegExp, changes: Record<string, string>, ...more: string[]) => {
    const out = join(folder, 'refused');
    const flags = { '--model': t5, '--task': task, '--method': 'promot', '--out': out, ...changes };
    await refused(pattern, 'train', ...Object.entries(flags).flat(), ...more);
    expect(existsSync(out)).toBe(false);
  };
  /** A copy of a golden model with one file changed. */
  const damaged = (name: string, file: string, change: (content: Buffer) => Buffer) => {
    const copy = join(folder, name);
    mkdirSync(copy);
    for (const part of ['config.json', 'model.safetensors', 'spiece.model', 'tokenizer.json', 'tokenizer_config.json'])
      cpSync(join(t5, part), join(copy, part));
    writeFileSync(join(copy, file), change(readFileSync(join(copy, file))));
    return copy;
  };

  test.skipIf(libtorch().cuda)('a GPU where there is none', async () => {
    const cuda = ['--set', 'device=cuda'];
    const message = /^error: setting device: cuda cannot be had: libtorch .* \(promot doctor says what is missing\)$/mu;
    await refusedRun(message, {}, ...cuda);
    await refused(message, 'eval', '--model', t5, '--task', task, ...cuda);
    await refused(message, 'generate', '--model', t5, '--input', 'a', ...cuda);
    await refused(message, 'score', '--model', t5, '--input', 'a', '--target', 'b', ...cuda);
    await refused(
      /--set device=gpu: setting device: .*"cuda"/u,
      'eval',
      '--model',
      t5,
      '--task',
      task,
      '--set',
      'device=gpu',
    );
  });

  test('flags and commands', async () => {
    await refused(/unknown option '--modle'\n\(Did you mean --model\?\)/u, 'train', '--modle', t5);
    await refused(/unknown command 'trian'\n\(Did you mean train\?\)/u, 'trian');
    await refused(/unknown command 'trian'\n\(Did you mean train\?\)/u, 'help', 'trian');
    await refused(/promot score needs --input and --target, or --task with --record/u, 'score', '--model', t5);
    await refused(/needs --model, .*--resume RUN takes them from the run/u, 'train', '--resume');
    await refused(/whole number from 0 to 65535/u, 'serve', '--model', t5, '--port', '99999');
    await refused(/whole number of at least 0/u, 'eval', '--model', t5, '--task', task, '--shots', 'two');
    await refused(
      /unknown method "promt".*"promot"/u,
      'train',
      '--model',
      t5,
      '--task',
      task,
      '--method',
      'promt',
      '--out',
      'x',
    );
    await refused(/unknown task "rtee".*rte/u, 'eval', '--model', t5, '--task', 'rtee');
    await refused(/unknown metric "blue".*"bleu"/u, 'metric', 'blue', '--predictions', 'a', '--references', 'b');
  });

  test('settings', async () => {
    await refusedRun(
      /--set batchSiz=3: unknown setting batchSiz \(did you mean "batchSize"\?\)/u,
      {},
      '--set',
      'batchSiz=3',
    );
    await refusedRun(/--set stage1\.stps=3: .*"stage1\.steps"/u, {}, '--set', 'stage1.stps=3');
    await refusedRun(/--set batchSize=many: setting batchSize: .*number/u, {}, '--set', 'batchSize=many');
    await refusedRun(/--set batchSize: write it as key=value/u, {}, '--set', 'batchSize');
    const config = join(folder, 'bad.yaml');
    writeFileSync(config, 'seed: 1\nstage1:\n  steps: 10\n  keepEvry: 2\n');
    await refusedRun(
      /bad\.yaml line 4: unknown setting stage1\.keepEvry.*"stage1\.keepEvery"/u,
      {},
      '--config',
      config,
    );
    writeFileSync(config, 'seed: 1\nbatchSize: [3\n');
    await refusedRun(/bad\.yaml line \d: /u, {}, '--config', config);
    await refusedRun(/cannot read the settings file/u, {}, '--config', join(folder, 'none.yaml'));
    await refused(/unknown setting beems.*"beams"/u, 'generate', '--model', t5, '--input', 'x', '--set', 'beems=2');
    await refused(
      /setting precision/u,
      'score',
      '--model',
      t5,
      '--input',
      'x',
      '--target',
      'y',
      '--set',
      'precision=fp16',
    );
  });

  test('models', async () => {
    await refusedRun(/nowhere: no such model/u, { '--model': 'nowhere' });
    await refusedRun(/config\.json is missing/u, { '--model': folder });
    await refusedRun(/model\.safetensors/u, {
      '--model': damaged('short', 'model.safetensors', (b) => b.subarray(0, b.length - 1000)),
    });
    const wrong = damaged('wrong', 'config.json', (b) =>
      Buffer.from(b.toString().replace('"d_ff": 128', '"d_ff": 96')),
    );
    await refusedRun(/wrong.*shape/u, { '--model': wrong });
  });

  test('a token without a row in the model; weights that are not numbers', async () => {
    const odd = damaged('odd-token', 'tokenizer.json', (content) => {
      const description = JSON.parse(content.toString()) as { added_tokens: object[] };
      const token = { ...description.added_tokens[0], id: 320, content: 'zebra', special: false };
      return Buffer.from(JSON.stringify({ ...description, added_tokens: [...description.added_tokens, token] }));
    });
    const beyond = /odd-token: the tokenizer has token 320 \("zebra"\), the model only 320 rows/u;
    await refused(beyond, 'score', '--model', odd, '--input', 'A zebra', '--target', 'morning');
    await refused(beyond, 'generate', '--model', odd, '--input', 'A zebra');
    expect((await promot('score', '--model', odd, '--input', 'A river', '--target', 'morning')).code).toBe(0);
    const broken = damaged('broken', 'model.safetensors', (content) =>
      // All numbers become NaN.
      content.fill(0xff, 8 + Number(content.readBigUInt64LE(0))),
    );
    await refused(/not numbers \(NaN\)/u, 'score', '--model', broken, '--input', 'x', '--target', 'y');
    await refusedRun(/broken: the weights hold numbers that are not finite/u, { '--model': broken });
  });

  test('prompts', async () => {
    const narrow = join(folder, 'narrow');
    cpSync(join(t5, 'prompt'), narrow, { recursive: true });
    writeSafetensors(join(narrow, 'adapter_model.safetensors'), new Map([['prompt_embeddings', zeros([5, 64])]]));
    await refused(
      /64 wide, the model 128/u,
      'score',
      '--model',
      t5,
      '--prompt',
      narrow,
      '--input',
      'x',
      '--target',
      'y',
    );
    const whole = join(folder, 'whole');
    cpSync(join(t5, 'prompt'), whole, { recursive: true });
    writeSafetensors(
      join(whole, 'adapter_model.safetensors'),
      new Map([['prompt_embeddings', zeros([5, 128], 'int32')]]),
    );
    await refused(/holds int32/u, 'generate', '--model', t5, '--prompt', whole, '--input', 'x');
    const other = fileURLToPath(new URL('../../../core/golden/models/llama/prompt', import.meta.url));
    await refused(
      /task_type is CAUSAL_LM, which is not for encoder-decoder models/u,
      'generate',
      '--model',
      t5,
      '--prompt',
      other,
      '--input',
      'x',
    );
    await refused(/no such soft prompt/u, 'generate', '--model', t5, '--prompt', 'nowhere', '--input', 'x');
    await refusedRun(/64 wide, the model 128/u, {}, '--set', `promptInit=${narrow}`, 'promptLength=5');
  });

  test('data', async () => {
    const good = '{"question": "Is 1 odd?", "label": "True"}\n';
    await refusedRun(/empty-train\.jsonl line 2/u, { '--task': writeTask('empty', {}, `${good}\n${good}`) });
    await refusedRun(/broken-train\.jsonl line 2/u, { '--task': writeTask('broken', {}, `${good}{"question": \n`) });
    await refusedRun(/label-train\.jsonl line 1: label "True" is not one of Yes, No/u, {
      '--task': writeTask('label', { labels: '["Yes", "No"]' }, good),
    });
    await refusedRun(/field-train\.jsonl line 1: no field "premise"/u, {
      '--task': writeTask('field', { input: '"{premise}"' }, good),
    });
    await refusedRun(/no such data file/u, {
      '--task': writeTask('file', { files: '{ train: none.jsonl, validation: none.jsonl }' }),
    });
    await refused(/cannot read none\.txt/u, 'generate', '--model', t5, '--input', '@none.txt');
    writeFileSync(join(folder, 'bad.jsonl'), '"fine"\n{}\n');
    await refused(
      /bad\.jsonl line 2: a JSON string/u,
      'generate',
      '--model',
      t5,
      '--input',
      `@${join(folder, 'bad.jsonl')}`,
    );
  });

  test('an output folder in use', async () => {
    const used = join(folder, 'used');
    mkdirSync(used);
    writeFileSync(join(used, 'notes.txt'), 'mine');
    await refused(/used is not empty/u, 'train', '--model', t5, '--task', task, '--method', 'promot', '--out', used);
    const run = ['--model', t5, '--task', task, '--method', 'promot', '--out', used];
    await refused(/used is not empty/u, 'train', ...run, '--dry-run');
    await refused(/no quickstart made it/u, 'quickstart', '--out', used);
    expect(readFileSync(join(used, 'notes.txt'), 'utf8')).toBe('mine');
  });
});
