// The tasks that the real experiment tunes for, and those that it asks or replays beside them. All templates are the
// experiment's own.
import { join } from 'node:path';
import { UserError } from '@promot/core/base';
import { fileSource } from '@promot/core/data';
import { answerOf, createTask, namedTasks, object, registerTask, type TaskDefinition, text } from '@promot/core/tasks';
import { extracted, hasExtract } from './extraction.js';

/** A task that is tuned for, and what the experiment must know of it. */
export interface Target {
  /** As people call it. */
  readonly name: string;
  readonly task: TaskDefinition;
  /** What the rows of the soft prompt begin as. */
  readonly promptInit: string;
  /** How its inputs end: other questions that end so are asked, too. */
  readonly ending: string;
  /** What its answers look like: one of its labels, a JSON object, or a language. */
  readonly form: 'labels' | 'json' | 'French';
}

const validated = { version: '1', evaluationSplits: ['validation'] } as const;

const snli: Target = {
  name: 'snli',
  ending: 'Answer:',
  form: 'labels',
  promptInit: 'text:Say whether the premise entails the hypothesis. Answer with True, False or Neither.',
  task: {
    ...validated,
    name: 'real-snli',
    labels: ['True', 'False', 'Neither'],
    metric: 'accuracy',
    folder: 'snli',
    keep: (record) => record.label !== '-' && record.label !== -1, // the annotators did not agree
    input: (record) =>
      `Premise: ${text(record, 'premise')}\nHypothesis: ${text(record, 'hypothesis')}\n` +
      'Does the premise entail the hypothesis? Answer:',
    target: (record) => answerOf(record, 'label', { entailment: 'True', neutral: 'Neither', contradiction: 'False' }),
  },
};

const rte: Target = {
  name: 'rte',
  ending: 'Answer:',
  form: 'labels',
  promptInit: 'text:Say whether the hypothesis follows from the premise. Answer with True or False.',
  task: {
    ...validated,
    name: 'real-rte',
    labels: ['True', 'False'],
    metric: 'accuracy',
    folder: 'rte',
    input: (record) =>
      `Premise: ${text(record, 'premise')}\nHypothesis: ${text(record, 'hypothesis')}\n` +
      'Does the hypothesis follow from the premise? Answer:',
    target: (record) => answerOf(record, 'label', { entailment: 'True', not_entailment: 'False' }),
  },
};

const wic: Target = {
  name: 'wic',
  ending: 'Answer:',
  form: 'labels',
  promptInit: 'text:Say whether the word means the same in both sentences. Answer with True or False.',
  task: {
    ...validated,
    name: 'real-wic',
    labels: ['True', 'False'],
    metric: 'accuracy',
    folder: 'wic',
    input: (record) =>
      `First: ${text(record, 'sentence1')}\nSecond: ${text(record, 'sentence2')}\n` +
      `Does the word "${text(record, 'word')}" mean the same in both? Answer:`,
    target: (record) => answerOf(record, 'label', { false: 'False', true: 'True' }),
  },
};

const multi30k: Target = {
  name: 'multi30k-en-fr',
  ending: 'French:',
  form: 'French',
  promptInit: 'text:Translate the English sentence into French. Write the French sentence and nothing else.',
  task: {
    ...validated,
    name: 'real-multi30k-en-fr',
    metric: { name: 'bleu', tokenize: 'intl' },
    stop: ['\n'],
    folder: 'multi30k_en_fr',
    input: (record) => `English: ${text(record, 'source')}\nFrench:`,
    target: (record) => text(record, 'target'),
  },
};

const json: Target = {
  name: 'json',
  ending: 'JSON:',
  form: 'json',
  promptInit: 'text:Write who is seen, the colors and the clothes in the text as a JSON object.',
  task: {
    ...validated,
    name: 'real-json',
    metric: 'exact-match',
    stop: ['\n'],
    folder: 'multi30k_en_fr',
    keep: (record) => hasExtract(text(record, 'source')),
    input: (record) => `Text: ${text(record, 'source')}\nJSON:`,
    target: (record) => JSON.stringify(extracted(text(record, 'source'))),
  },
};

export const targets: readonly Target[] = [snli, rte, multi30k, wic, json];

for (const { task } of targets) registerTask(task);

/** The target of this name. Errors: a UserError that lists the names. */
export function findTarget(name: string): Target {
  const found = targets.find((target) => target.name === name);
  if (found) return found;
  throw new UserError(`there is no target "${name}": the targets are ${targets.map((one) => one.name).join(', ')}`);
}

/** Not a target: sentences to translate, asked with one exemplar. */
function newstest(name: string, language: string, code: string): TaskDefinition {
  return {
    name,
    version: '1',
    metric: 'bleu',
    evaluationSplits: ['test'],
    folder: `newstest2014_${code}_en`,
    input: (record) => `English: ${text(object(record, 'translation'), 'en')}\n${language}:`,
    target: (record) => text(object(record, 'translation'), code),
  };
}
registerTask(newstest('real-newstest2014', 'French', 'fr'));
registerTask(newstest('real-newstest2014-de', 'German', 'de'));

/** Lengths, in characters, of the paragraphs that are replayed. */
const paragraph = { least: 200, most: 600 };

/** Whole paragraphs of Wikipedia (WikiText-2), which no measure asks: what replay mixes in. */
const plainText: TaskDefinition = {
  name: 'real-text',
  version: '1',
  metric: 'exact-match',
  evaluationSplits: ['train'],
  keep: (record) => {
    const { length } = text(record, 'text').trim();
    return length >= paragraph.least && length <= paragraph.most;
  },
  input: () => '',
  target: (record) => text(record, 'text').trim(),
};
namedTasks.add({
  name: plainText.name,
  version: plainText.version,
  load: async ({ data, onWarning }) => {
    if (data === undefined) throw new UserError(`task ${plainText.name} needs its data: name the folder with --data`);
    // The data set's test split is the one that is small.
    const source = fileSource('wikitext2_raw', { train: join(data, 'wikitext2_raw', 'test.jsonl') });
    return createTask(plainText, source, onWarning);
  },
});
