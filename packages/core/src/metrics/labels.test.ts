// Labels of any kind in what models say.
import { describe, expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import { chooseMetric, computeMetric } from './index.js';
import { labelForm, labelReader } from './labels.js';

const languages = ['C', 'C++', 'C#', 'Java', 'JavaScript'];
const signs = ['-1', '0', '1', '10'];
const choices = ['(A)', '(B)'];
const entailment = ['entailment', 'not entailment'];

describe('an output has the longest label that it begins with', () => {
  test.each<[readonly string[], string, string | undefined]>([
    [languages, 'C++', 'C++'],
    [languages, ' C, of course', 'C'],
    [languages, 'C#.', 'C#'],
    [languages, 'JavaScript', 'JavaScript'],
    [languages, 'Javanese', undefined],
    [signs, '-1', '-1'],
    [signs, '1', '1'],
    [signs, '10', '10'],
    [signs, '1.5', undefined],
    [signs, '1. Because', '1'],
    [signs, '100', undefined],
    [signs, '- 1', undefined],
    [choices, '(A)', '(A)'],
    [choices, '(B) is right', '(B)'],
    [choices, 'A', undefined],
    [entailment, 'not entailment', 'not entailment'],
    [entailment, 'not\n entailment.', 'not entailment'],
    [entailment, '**entailment**', 'entailment'],
    [entailment, '"entailment", because', 'entailment'],
    [entailment, 'Entailment', undefined],
    [entailment, 'It is entailment', undefined],
    [['True', 'False'], '“True”', 'True'],
    [['A', 'B'], '(A)', 'A'],
    [['正面', '负面'], '正面。', '正面'],
    [['caf\u00e9', 'bar'], 'cafe\u0301', 'caf\u00e9'],
    [['yes', ''], '', ''],
    [['yes', ''], 'well', undefined],
    [['yes'], '', undefined],
    [['yes'], '((("', undefined],
  ])('%j: %j', (labels, output, label) => {
    expect(labelReader(labels)(output)).toBe(label);
  });
});

test('every label reads as itself', () => {
  for (const labels of [languages, signs, choices, entailment, ['*', '"', '(', '_', ' spaced  out ']]) {
    const read = labelReader(labels);
    expect(labels.map((label) => read(label))).toEqual(labels);
    expect(
      computeMetric(
        'accuracy',
        labels,
        labels.map((label) => [label]),
      ).score,
    ).toBe(100);
  }
});

test('labels that are the same but for spaces are refused', () => {
  const accuracy = chooseMetric('accuracy');
  expect(() => accuracy.checkLabels(['not  sure', 'sure', 'not sure'])).toThrow(UserError);
  expect(() => accuracy.checkLabels(['not  sure', 'sure', 'not sure'])).toThrow(
    '"not  sure" and "not sure" are the same',
  );
  accuracy.checkLabels([...languages, ...signs, ...choices, ...entailment]);
  expect(() => chooseMetric({ name: 'accuracy', read: 'first-word' }).checkLabels(entailment)).toThrow(
    '"not entailment" is not a single word',
  );
});

test('an answer with the wrong label, or none, is wrong, whatever it goes on to say', () => {
  const score = (output: string, right: string) =>
    chooseMetric('accuracy').score([{ output, references: [right] }], entailment).score;
  expect(score('not entailment', 'entailment')).toBe(0);
  expect(score('entailment', 'not entailment')).toBe(0);
  expect(score('not sure, entailment', 'entailment')).toBe(0);
});

test('a form is looked for by the first word where labels are words, else as accuracy reads labels', () => {
  expect(['True!False', '- True', 'True'].map(labelForm(['True', 'False']))).toEqual([false, false, true]);
  expect(['not entailment', 'not', 'entailments'].map(labelForm(entailment))).toEqual([true, false, false]);
});
