// Table 1 and appendix A.3.8: what pretrained, fine-tuned and ProMoT models say to the same prompts.
import type { OutputsExperiment } from '../experiment.js';

export const table1: OutputsExperiment = {
  kind: 'outputs',
  name: 'table-1',
  place: 'Table 1 and appendix A.3.8',
  shows: 'outputs side by side: a fine-tuned model answers in the form of its task, whatever it is asked',
  base: 'mt5-xxl',
  contenders: ['pretrained', 'fine-tune', 'promot'],
  parts: [
    // The paper shows the first.
    { target: 'rte', tasks: ['xsum', 'web-questions'] },
    { target: 'wmt14-en-fr', tasks: ['wmt16-en-de', 'web-questions', 'wikilingua-en'] },
  ],
};
