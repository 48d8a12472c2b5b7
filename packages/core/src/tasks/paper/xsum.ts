// XSum: one-sentence summaries of BBC articles.

import { text } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { summarization } from './families.js';

export const xsum: TaskDefinition = summarization(
  {
    name: 'xsum',
    version: '1',
    hub: { name: 'EdinburghNLP/xsum' },
    paperSizes: { train: 203_577, validation: 11_305, test: 11_301 },
  },
  { article: (record) => text(record, 'document'), summary: (record) => text(record, 'summary') },
);
