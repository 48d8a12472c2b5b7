// The templates that several data sets share (paper, Table 4).

import { UserError } from '../../base/errors.js';
import type { DataRecord } from '../../data/records.js';
import { object, text, texts } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { paperOutput } from './output.js';

/** CB and SNLI: three classes. */
export function threeWayInput(record: DataRecord): string {
  const { premise, hypothesis } = { premise: text(record, 'premise'), hypothesis: text(record, 'hypothesis') };
  return `${premise} question: ${hypothesis} Is it true or false or neither? answer:`;
}

/** Closed-book question answering: `question`, and `answers` as a list (the first is trained on, each counts). */
export function questionAnswering(
  settings: Pick<TaskDefinition, 'name' | 'version' | 'metric' | 'evaluationSplits' | 'hub' | 'paperSizes'>,
  answers: (record: DataRecord) => readonly string[] = (record) => texts(record, 'answers'),
): TaskDefinition {
  const some = (record: DataRecord): readonly string[] => {
    // WebQuestions has blank answers; as references they would reward a model for saying nothing.
    const found = answers(record).filter((answer) => answer.trim() !== '');
    if (found.length === 0) throw new UserError('no answers');
    return found;
  };
  return {
    ...settings,
    ...paperOutput,
    input: (record) => `Q: ${text(record, 'question')} A:`,
    target: (record) => some(record)[0]!,
    references: some,
  };
}

/** Translation from English: fields `source` and `target`, or the hub's `translation: { en, fr }`. */
export function translationFromEnglish(
  language: { readonly name: string; readonly code: string },
  settings: Pick<TaskDefinition, 'name' | 'version' | 'hub' | 'paperSizes' | 'standsInFor'>,
): TaskDefinition {
  const sides = (record: DataRecord): { source: string; target: string } => {
    if (record.translation === undefined) return { source: text(record, 'source'), target: text(record, 'target') };
    const translation = object(record, 'translation');
    return { source: text(translation, 'en'), target: text(translation, language.code) };
  };
  return {
    ...settings,
    ...paperOutput,
    metric: { name: 'bleu', tokenize: 'intl' }, // as T5's tasks
    evaluationSplits: ['test'],
    // WMT's training files hold pairs with an empty side.
    keep: (record) => Object.values(sides(record)).every((side) => side.trim() !== ''),
    input: (record) => `Translate English to ${language.name}: ${sides(record).source}`,
    target: (record) => sides(record).target,
  };
}

/** One-sentence summaries, inputs cut at 1,024 tokens (the article is shortened, the words around it stay). */
export function summarization(
  settings: Pick<TaskDefinition, 'name' | 'version' | 'hub' | 'paperSizes'>,
  fields: { article(record: DataRecord): string; summary(record: DataRecord): string },
): TaskDefinition {
  return {
    ...settings,
    ...paperOutput,
    metric: 'rouge-2',
    maxInputTokens: 1024,
    evaluationSplits: ['test'],
    input: (record) => `Article: ${fields.article(record)} One sentence summary:`,
    target: fields.summary,
    shortenable: fields.article,
  };
}
