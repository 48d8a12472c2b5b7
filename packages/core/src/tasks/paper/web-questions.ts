// WebQuestions: closed-book questions with one or more answers.

import type { TaskDefinition } from '../task.js';
import { questionAnswering } from './families.js';

export const webQuestions: TaskDefinition = questionAnswering({
  name: 'web-questions',
  version: '1',
  metric: { name: 'exact-match', normalize: 'squad' },
  evaluationSplits: ['test'],
  hub: { name: 'stanfordnlp/web_questions', splits: ['train', 'test'] },
  paperSizes: { train: 3778, test: 2032 },
});
