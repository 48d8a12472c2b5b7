// WikiLingua, English (GEM's wiki_lingua_english_en): how-to articles and their summaries.

import { text } from '../fields.js';
import type { TaskDefinition } from '../task.js';
import { summarization } from './families.js';

export const wikilinguaEn: TaskDefinition = summarization(
  {
    name: 'wikilingua-en',
    version: '1',
    hub: { name: 'GEM/wiki_lingua', config: 'en' },
    paperSizes: { train: 99_020, validation: 13_823, test: 28_614 },
  },
  { article: (record) => text(record, 'source'), summary: (record) => text(record, 'target') },
);
