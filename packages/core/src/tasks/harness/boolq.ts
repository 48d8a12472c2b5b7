// BoolQ: a passage and a question that yes or no answers.
import { UserError } from '../../base/errors.js';
import type { DataRecord } from '../../data/records.js';
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { text } from '../fields.js';

/**
 * SuperGLUE's form (`label` 0 or 1, the title at the beginning of the passage), or the authors' own (`answer`,
 * `title`).
 */
function parts(record: DataRecord): { passage: string; right: number } {
  const passage = text(record, 'passage');
  const { label, answer, title } = record;
  if (label === 0 || label === 1) return { passage, right: label };
  if (typeof answer !== 'boolean') throw new UserError('neither "label" is 0 or 1 nor "answer" true or false');
  return { passage: typeof title === 'string' ? `${title} -- ${passage}` : passage, right: answer ? 1 : 0 };
}

export const boolq = choiceTask(
  {
    name: 'boolq',
    version: '1',
    metric: ['acc'],
    evaluationSplits: ['validation'],
    hub: { name: 'aps/super_glue', config: 'boolq', splits: ['train', 'validation'] },
  },
  (record) => {
    const { passage, right } = parts(record);
    return choicesBehind(`${passage}\nQuestion: ${text(record, 'question')}?\nAnswer:`, ['no', 'yes'], right);
  },
);
