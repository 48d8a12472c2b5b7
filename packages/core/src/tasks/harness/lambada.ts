// LAMBADA, OpenAI's version: the last word of a passage.
import { UserError } from '../../base/errors.js';
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { text } from '../fields.js';

export const lambadaOpenai = choiceTask(
  {
    name: 'lambada-openai',
    version: '1',
    metric: ['acc', 'perplexity'],
    evaluationSplits: ['test'],
    hub: { name: 'EleutherAI/lambada_openai', config: 'default', splits: ['test'] },
  },
  (record) => {
    const passage = text(record, 'text');
    const space = passage.lastIndexOf(' ');
    if (space === -1) throw new UserError('field "text" is a single word');
    return choicesBehind(passage.slice(0, space), [passage.slice(space + 1)], 0);
  },
);
