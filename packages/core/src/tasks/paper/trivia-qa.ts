// TriviaQA, rc.nocontext: closed-book questions; any alias of the answer counts.

import { object, text, texts } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { questionAnswering } from './families.js';

export const triviaQa: TaskDefinition = questionAnswering(
  {
    name: 'trivia-qa',
    version: '1',
    metric: { name: 'exact-match', normalize: 'trivia-qa' },
    evaluationSplits: ['test', 'validation'], // the hub has no test answers: there the validation set stands in
    hub: { name: 'mandarjoshi/trivia_qa', config: 'rc.nocontext', splits: ['train', 'validation'] },
    paperSizes: { train: 138_384, validation: 18_669, test: 17_210 },
  },
  (record) => {
    if (record.answers !== undefined) return texts(record, 'answers');
    const answer = object(record, 'answer'); // the hub's form
    return [...new Set([text(answer, 'value'), ...texts(answer, 'aliases')])];
  },
);
