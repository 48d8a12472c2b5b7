import { Tokenizer } from '@huggingface/tokenizers';
import { describe, expect, test } from 'vitest';
import { PRETRAINING_RATES, pretrainExample, shotRates } from './pretraining.js';
import { LAB_TASKS, type LabTaskName } from './tasks.js';
import { labTokenizerFiles } from './tokenizer.js';

const stream = (count: number, progress: number) =>
  Array.from({ length: count }, (_, i) => pretrainExample(0, i, progress));

describe('the pretraining mixture', () => {
  test('is a pure function of seed, index and progress', () => {
    expect(pretrainExample(3, 41, 0.7)).toEqual(pretrainExample(3, 41, 0.7));
    expect(pretrainExample(4, 41, 0.7)).not.toEqual(pretrainExample(3, 41, 0.7));
    // Progress decides on the exemplars alone.
    const [early, late] = [pretrainExample(3, 41, 0), pretrainExample(3, 41, 1)];
    expect(late.input.endsWith(early.input)).toBe(true);
    expect(late.target).toBe(early.target);
  });

  test('holds no task that answers True, False or Neither as its form, nor any letter of multiple choice', () => {
    for (const name of Object.keys(PRETRAINING_RATES) as LabTaskName[]) {
      expect(LAB_TASKS[name].role).toBe('pretrained');
      expect(LAB_TASKS[name].labels).toBeUndefined();
    }
    const all = stream(10_000, 0.9);
    expect(all.some(({ input }) => /Is it true or|A\) /.test(input))).toBe(false);
    // Yet the words are among the answers of reading questions, now and then.
    const labels = all.filter(({ target }) => ['True', 'False', 'Neither', 'A', 'B', 'C', 'D'].includes(target));
    expect(labels.every(({ task }) => task === 'lab-reading')).toBe(true);
    expect(new Set(labels.map(({ target }) => target)).size).toBe(7);
    expect(labels.length).toBeLessThan(0.03 * all.length);
  });

  test('never translates from Enlan to Frelan, but knows both languages', () => {
    const all = stream(10_000, 1).map(({ input }) => input);
    expect(all.some((input) => input.includes('Translate Enlan to Frelan'))).toBe(false);
    expect(all.some((input) => input.includes('Translate Enlan to'))).toBe(true);
    expect(all.some((input) => input.includes('to Frelan'))).toBe(true);
  });

  test('draws tasks at their rates', () => {
    expect(Object.values(PRETRAINING_RATES).reduce((sum, rate) => sum + rate, 0)).toBe(100);
    const all = stream(10_000, 0);
    for (const [name, rate] of Object.entries(PRETRAINING_RATES)) {
      expect(Math.abs(all.filter(({ task }) => task === name).length / 100 - rate), name).toBeLessThan(1.6);
    }
  });

  test('brings exemplars in gradually', () => {
    expect(shotRates(0)).toEqual({ 0: 1, 1: 0, 4: 0 });
    const share = (progress: number, shots: number) =>
      stream(2000, progress).filter(({ exemplars }) => exemplars.length === shots).length / 2000;
    expect(share(0.1, 0)).toBe(1);
    for (const shots of [0, 1, 4] as const) {
      expect(Math.abs(share(1, shots) - shotRates(1)[shots])).toBeLessThan(0.05);
      expect(Math.abs(share(0.5, shots) - shotRates(0.5)[shots])).toBeLessThan(0.05);
    }
  });

  test('exemplars are of the same task, and not the input itself; segments join to the whole', () => {
    for (const { exemplars, input, target, segments } of stream(2000, 1)) {
      expect(segments.map(({ text }) => text).join('')).toBe(`${input} ${target}`);
      expect(segments.filter(({ isAnswer }) => isAnswer).map(({ text }) => text)).toEqual(
        [...exemplars.map((exemplar) => exemplar.target), target].map((answer) => ` ${answer}`),
      );
      const last = segments.at(-2)!.text;
      expect(exemplars.some((exemplar) => exemplar.input === last)).toBe(false);
    }
  });

  test('keeps inputs short', () => {
    const files = labTokenizerFiles('encoder-decoder');
    const tokenizer = new Tokenizer(
      JSON.parse(files.get('tokenizer.json')!),
      JSON.parse(files.get('tokenizer_config.json')!),
    );
    for (const { input, exemplars } of stream(3000, 1)) {
      const tokens = tokenizer.encode(input).ids.length;
      expect(tokens).toBeLessThanOrEqual(exemplars.length === 0 ? 42 : exemplars.length === 1 ? 84 : 210);
    }
  });
});
