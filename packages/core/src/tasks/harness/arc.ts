// ARC: school science questions with three to five choices.

import { choiceTask } from '../choice-task.js';
import { choicesBehind, rightOf } from '../choices.js';
import { object, text, texts } from '../fields.js';
import type { TaskDefinition } from '../task.js';

const arc = (name: string, config: string): TaskDefinition =>
  choiceTask(
    {
      name,
      version: '1',
      metric: ['acc_norm', 'acc'],
      evaluationSplits: ['test'],
      hub: { name: 'allenai/ai2_arc', config },
    },
    (record) => {
      const choices = object(record, 'choices');
      const right = rightOf(text(record, 'answerKey'), texts(choices, 'label'));
      return choicesBehind(`Question: ${text(record, 'question')}\nAnswer:`, texts(choices, 'text'), right);
    },
  );

export const arcEasy = arc('arc-easy', 'ARC-Easy');
export const arcChallenge = arc('arc-challenge', 'ARC-Challenge');
