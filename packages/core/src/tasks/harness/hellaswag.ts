// HellaSwag: what happens next in a video or in a set of instructions.
import { choiceTask } from '../choice-task.js';
import { choicesBehind } from '../choices.js';
import { text, texts } from '../fields.js';

/** The harness takes out WikiHow's marks: `[title]`, `[step]`. */
function clean(passage: string): string {
  return passage
    .trim()
    .replaceAll(' [title]', '. ')
    .replaceAll(/\[[^\n]*?\]/gu, '')
    .replaceAll('  ', ' ');
}

/** As Python does: the first letter large, all others small. */
function capitalize(words: string): string {
  const [first = '', ...rest] = words;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

export const hellaswag = choiceTask(
  {
    name: 'hellaswag',
    version: '1',
    metric: ['acc_norm', 'acc'],
    evaluationSplits: ['validation'],
    hub: { name: 'Rowan/hellaswag', splits: ['train', 'validation'] },
  },
  (record) => {
    const scene = `${text(record, 'ctx_a')} ${capitalize(text(record, 'ctx_b'))}`;
    return choicesBehind(
      clean(`${text(record, 'activity_label')}: ${scene}`),
      texts(record, 'endings').map(clean),
      Number(text(record, 'label')),
    );
  },
);
