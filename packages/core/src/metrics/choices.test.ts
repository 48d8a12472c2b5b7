import { expect, test } from 'vitest';
import type { Answer } from './metric.js';
import { chooseMetric } from './registry.js';

const answer = (
  right: number,
  ...choices: readonly (readonly [text: string, logprob: number, greedy?: boolean])[]
): Answer => ({
  output: '',
  references: ['x'],
  choices: choices.map(([text, logprob, greedy = false]) => ({ text, logprob, tokens: 1, greedy })),
  right,
});
const score = (name: string, ...answers: Answer[]) => chooseMetric(name).score(answers).score;

test('acc takes the highest log-probability, acc_norm that per character (a code point, not a byte)', () => {
  const long = answer(1, ['ab', -2], ['abcdefgh', -4]);
  expect(score('acc', long)).toBe(0);
  expect(score('acc_norm', long)).toBe(100);
  // 2 characters each: 4 bytes, 8 bytes or 4 UTF-16 units would say otherwise.
  expect(score('acc_norm', answer(0, ['ab', -2], ['😀é', -3]))).toBe(100);
});

test('of equals the first counts', () => {
  expect(score('acc', answer(0, ['a', -1], ['b', -1]))).toBe(100);
  expect(score('acc', answer(1, ['a', -1], ['b', -1]))).toBe(0);
});

test('a single choice is right where the model would have said it', () => {
  expect(score('acc', answer(0, ['a', -1, true]), answer(0, ['b', -1, false]))).toBe(50);
});

test('perplexity is that of whole choices, and cannot choose a checkpoint', () => {
  expect(score('perplexity', answer(0, ['a', -1]), answer(0, ['b c', -3]))).toBeCloseTo(Math.exp(2), 12);
  expect(chooseMetric('perplexity').metric.lowerIsBetter).toBe(true);
});
