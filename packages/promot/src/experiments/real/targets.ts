// The tasks that the real experiment tunes for. Their inputs end in "Answer:", their answers are single words.
import { answerOf, object, registerTask, type TaskDefinition, text } from '@promot/core/tasks';

export const snli: TaskDefinition = {
  name: 'real-snli',
  version: '1',
  labels: ['True', 'False', 'Neither'],
  metric: 'accuracy',
  evaluationSplits: ['validation'],
  folder: 'snli',
  keep: (record) => record.label !== '-' && record.label !== -1, // the annotators did not agree
  input: (record) =>
    `Premise: ${text(record, 'premise')}\nHypothesis: ${text(record, 'hypothesis')}\n` +
    'Does the premise entail the hypothesis? Answer:',
  target: (record) => answerOf(record, 'label', { entailment: 'True', neutral: 'Neither', contradiction: 'False' }),
};

export const targets = [snli];

for (const definition of targets) registerTask(definition);

/** Not a target: sentences to translate, asked with one exemplar. */
registerTask({
  name: 'real-newstest2014',
  version: '1',
  metric: 'bleu',
  evaluationSplits: ['test'],
  folder: 'newstest2014_fr_en',
  input: (record) => `English: ${text(object(record, 'translation'), 'en')}\nFrench:`,
  target: (record) => text(object(record, 'translation'), 'fr'),
});
