// What a task's result says, on a tiny golden model and examples made here.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import type { RecordSource } from '../data/source.js';
import { scoreText } from '../generation/texts.js';
import { type LoadedModel, loadFolder } from '../models/load.js';
import { rte } from '../tasks/paper/rte.js';
import { createTask, type Task, type TaskDefinition } from '../tasks/task.js';
import { evaluateExamples, maxNewTokens, stopStrings } from './evaluate-examples.js';
import { evaluateLoaded } from './evaluate-loaded.js';
import { Language } from './form.js';

let loaded: LoadedModel;
beforeAll(() => {
  loaded = loadFolder(fileURLToPath(new URL('../../golden/models/llama', import.meta.url)), 'float32');
});
afterAll(() => {
  loaded.dispose();
});

/** A task whose question i has the answer `answers[i]`. */
function makeTask(answers: readonly string[], more: Partial<TaskDefinition> = {}): Task {
  const source: RecordSource = {
    description: 'made here',
    splits: ['train', 'test'],
    read: async () => ({
      records: answers.map((answer, i) => ({ question: `The garden ${i}`, answer })),
      location: (i) => `example ${i}`,
    }),
  };
  const definition: TaskDefinition = {
    name: 'made',
    version: '1',
    metric: 'exact-match',
    evaluationSplits: ['test'],
    input: ({ question }) => question as string,
    target: ({ answer }) => answer as string,
    ...more,
  };
  return createTask(definition, source);
}

test('labels are ranked by the log-probability that score gives, raw and per token', async () => {
  const labels = ['river', 'morning'];
  const task = makeTask(['river', 'morning', 'river'], { labels, metric: 'accuracy' });
  const examples = await task.load('test');
  const right = { raw: 0, perToken: 0 };
  for (const { input, target } of examples) {
    const scored = await Promise.all(labels.map((label) => scoreText(loaded, input, ` ${label}`)));
    const [a, b] = scored as [(typeof scored)[0], (typeof scored)[0]];
    if (labels[a.loss * a.tokens <= b.loss * b.tokens ? 0 : 1] === target) right.raw++;
    if (labels[a.loss <= b.loss ? 0 : 1] === target) right.perToken++;
  }
  const options = { beams: 1, maxNewTokens: 3 };
  const generated = await evaluateLoaded(loaded, task, options);
  const result = await evaluateLoaded(loaded, task, { ...options, decide: 'likelihood' });
  const likelihood = {
    raw: expect.closeTo((100 * right.raw) / 3, 9),
    perToken: expect.closeTo((100 * right.perToken) / 3, 9),
  };
  expect(result).toMatchObject({ likelihood, score: result.likelihood!.raw, generation: generated.score, n: 3 });
  expect(generated).toMatchObject({ likelihood: result.likelihood, score: generated.generation });
  expect(result.signature).not.toBe(generated.signature);
  for (const { score, mostLikely, references } of result.samples)
    expect(score).toBe(references.includes(mostLikely!.raw) ? 100 : 0);
  expect(right.raw).toBeGreaterThan(0);
  expect(right.raw).toBeLessThan(3);
});

test('nll is the mean over the tokens of the references, behind the same exemplars', async () => {
  const task = makeTask(['river', 'a long morning', 'one']);
  const result = await evaluateLoaded(loaded, task, { beams: 1, maxNewTokens: 2, shots: 1, nll: true });
  const scored = [];
  for (const { input, references } of result.samples) scored.push(await scoreText(loaded, input, ` ${references[0]}`));
  const tokens = scored.reduce((sum, one) => sum + one.tokens, 0);
  expect(result.nll).toBeCloseTo(scored.reduce((sum, one) => sum + one.loss * one.tokens, 0) / tokens, 4);
  expect(result.nllInterval!.low).toBeLessThanOrEqual(result.nll!);
  expect(result.samples[1]!.reference!.tokens).toBe(scored[1]!.tokens);
  expect((await evaluateLoaded(loaded, task, { beams: 1, maxNewTokens: 2 })).nll).toBeUndefined();
});

test('form share, interval, limit, samples', async () => {
  const task = makeTask(['one', 'two', 'three', 'four']);
  const plain = await evaluateLoaded(loaded, task, { beams: 1, maxNewTokens: 4, limit: 3 });
  expect(plain).toMatchObject({ n: 3, metric: 'exact-match', split: 'test', notes: [] });
  expect(plain.formShare).toBeUndefined();
  expect(plain.interval.low).toBeLessThanOrEqual(plain.score);
  expect(plain.interval.high).toBeGreaterThanOrEqual(plain.score);
  expect(plain.samples.map(({ input }) => input)).toEqual(['The garden 0', 'The garden 1', 'The garden 2']);
  // The first words that this model really says make the form: all of its outputs have it, but for those that say
  // nothing.
  const words = plain.samples.map(({ trimmed }) =>
    trimmed.split(/\s/u)[0]!.replace(/^[\p{P}\p{S}]+|[\p{P}\p{S}]+$/gu, ''),
  );
  const same = await evaluateLoaded(loaded, task, { beams: 1, maxNewTokens: 4, limit: 3, labels: words.slice(0, 1) });
  expect(same.formShare).toBeCloseTo((100 * words.filter((word) => word === words[0]).length) / 3, 9);
  expect(same.labels).toEqual(words.slice(0, 1));
  // A language learned from these very outputs has all that have a letter; `forms` stand in place of `labels`.
  const outputs = plain.samples.map(({ trimmed }) => trimmed);
  const form = { language: Language.learn('what this model says', outputs, [['qqq xxx zzz']]) };
  const inLanguage = await evaluateLoaded(loaded, task, {
    beams: 1,
    maxNewTokens: 4,
    limit: 3,
    labels: ['no'],
    forms: [form],
  });
  const spoken = outputs.filter((output) => /\p{L}/u.test(output)).length;
  expect(spoken).toBeGreaterThan(0);
  expect(inLanguage).toMatchObject({
    language: 'what this model says',
    formShare: expect.closeTo((100 * spoken) / 3, 9),
  });
  expect(inLanguage.labels).toBeUndefined();
});

test('exemplars stand in front and are dropped, with a note, where they do not fit', async () => {
  const task = makeTask(['one', 'two', 'three']);
  const options = { beams: 1, maxNewTokens: 2, limit: 1, shots: 1 };
  const fits = await evaluateLoaded(loaded, task, options);
  expect(fits.samples[0]!.input).toMatch(/^The garden [12] (two|three)\n\nThe garden 0$/u);
  const tight = await evaluateLoaded(loaded, task, { ...options, maxInputLength: 12 });
  expect(tight.samples[0]!.input).toBe('The garden 0');
  expect(tight.notes).toEqual(['1 of 1 prompts have fewer than 1 exemplars, to fit']);
  await expect(evaluateLoaded(loaded, task, { ...options, shots: 3 })).rejects.toThrow(/3 shots/u);
  await expect(evaluateLoaded(loaded, task, { decide: 'likelihood' })).rejects.toThrow(/has none/u);
});

test('an own task ends outputs at its stop strings and after its number of tokens, and cuts nothing else', async () => {
  const references = ['one Q: two', 'Translate', 'Article: three'];
  const options = { beams: 1 };
  const plain = await evaluateLoaded(loaded, makeTask(references, { maxNewTokens: 8 }), options);
  for (const [i, { output, trimmed, references: kept }] of plain.samples.entries()) {
    expect(trimmed).toBe(output.trim());
    expect(kept).toEqual([references[i]]);
  }
  const asked = await evaluateLoaded(loaded, makeTask(references), { ...options, maxNewTokens: 8 });
  expect(plain.samples).toEqual(asked.samples);
  const piece = plain.samples[0]!.trimmed.slice(2, 5);
  expect(piece).toHaveLength(3);
  const stopped = await evaluateLoaded(loaded, makeTask(references, { maxNewTokens: 8, stop: [piece] }), options);
  for (const [i, { output }] of stopped.samples.entries())
    expect(output).toBe(plain.samples[i]!.output.split(piece, 1)[0]);
  expect(stopped.samples[0]!.output).not.toBe(plain.samples[0]!.output);
  const named = await evaluateLoaded(loaded, makeTask(references, { maxNewTokens: 2, stop: ['Q:', '!'] }), options);
  expect(named.notes).toEqual(['outputs end at "Q:" or "!", and the references of 1 of 3 examples hold it']);
});

test('outputs end at a line break behind exemplars, for decoder-only models, unless the task says otherwise', () => {
  const task = makeTask(['one']);
  expect(stopStrings(task, 'decoder-only', true)).toEqual(['\n']);
  expect(stopStrings(task, 'decoder-only', false)).toEqual([]);
  expect(stopStrings(task, 'encoder-decoder', true)).toEqual([]);
  expect(stopStrings(makeTask(['one'], { stop: [] }), 'decoder-only', true)).toEqual([]);
  expect(stopStrings(makeTask(['one'], { stop: ['.'] }), 'encoder-decoder', false)).toEqual(['.']);
  expect(stopStrings(createTask(rte, task.source), 'decoder-only', true)).toEqual([]);
});

test('several metrics are all reported, the first one is the score', async () => {
  const task = makeTask(['Привет', 'one', 'two'], { metric: ['rouge-1', { name: 'bleu', tokenize: 'char' }, 'f1'] });
  const result = await evaluateLoaded(loaded, task, { beams: 1, maxNewTokens: 3 });
  expect(result.metrics).toHaveLength(3);
  const { metric, score, signature, interval } = result;
  expect(result.metrics![0]).toEqual({ metric, score, signature, interval });
  expect(result.metrics![1]).toMatchObject({ metric: 'bleu', metricSettings: { tokenize: 'char' } });
  for (const sample of result.samples) {
    expect(sample.scores).toHaveLength(3);
    expect(sample.score).toBe(sample.scores![0]);
  }
  expect(result.notes).toEqual([expect.stringContaining('nothing is left of 1 of 3 references')]);
  const alone = await evaluateLoaded(loaded, makeTask(['one']), { beams: 1, maxNewTokens: 2 });
  expect(alone.metrics).toBeUndefined();
  expect(alone.samples[0]!.scores).toBeUndefined();
});

test('a task whose score is the likelihood of its labels needs no option for it', async () => {
  const labels = ['river', 'a long morning'];
  const made = (metric: TaskDefinition['metric']) => makeTask([...labels, ...labels], { labels, metric });
  const own = await evaluateLoaded(loaded, made('label-likelihood'), { beams: 1, maxNewTokens: 2 });
  const asked = await evaluateLoaded(loaded, made('accuracy'), { beams: 1, maxNewTokens: 2, decide: 'likelihood' });
  expect(own.signature).toBe(asked.signature);
  expect(own.score).toBe(asked.score);
  const task = made([{ name: 'label-likelihood', ranking: 'perToken' }]);
  const trained = await evaluateExamples(loaded, task, await task.load('test'), { beams: 1, maxNewTokens: 2 });
  expect(trained.score).toBe(own.likelihood!.perToken);
});

test('an answer as long as the model has positions leaves no room for an input', async () => {
  const asked = evaluateLoaded(loaded, makeTask(['one']), { beams: 1, maxNewTokens: 512 });
  const error: unknown = await asked.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toMatch(/task made: 512 new tokens leave no room .* 512 positions/u);
});

test('an answer has room for the longest label or reference: a tokenizer may need a token a letter', async () => {
  const { tokenizer } = loaded;
  const long = 'q'.repeat(40);
  const needed = tokenizer.encode(` ${long}`, { specialTokens: false }).length + 1;
  expect(needed).toBeGreaterThan(32);
  const examples = [{ target: long }, { target: 'river' }];
  const labels = ['river', long];
  expect(maxNewTokens(makeTask(labels, { labels, metric: 'accuracy' }), loaded, examples)).toBeGreaterThanOrEqual(
    needed,
  );
  expect(maxNewTokens(makeTask(labels), loaded, examples)).toBeGreaterThanOrEqual(needed);
  expect(maxNewTokens(makeTask(labels), loaded, examples.slice(1))).toBe(32);
});
