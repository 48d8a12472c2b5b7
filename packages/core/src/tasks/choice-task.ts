// Multiple choice: a task that is defined by its choices alone.
import { UserError } from '../base/errors.js';
import type { ClassNames } from '../data/class-names.js';
import type { DataRecord } from '../data/records.js';
import type { Choice, Choices } from './choices.js';
import type { TaskDefinition } from './task.js';

/** A definition by its choices alone: it trains on the right one behind its context. */
export function choiceTask(
  settings: Omit<TaskDefinition, 'choices' | 'input' | 'target'>,
  choices: (record: DataRecord, names?: ClassNames) => Choices,
): TaskDefinition {
  const right = (record: DataRecord, names?: ClassNames): Choice => {
    const { choices: all, right: number } = choices(record, names);
    const found = all[number];
    if (found === undefined) throw new UserError(`the answer is choice ${number} of ${all.length}, counted from 0`);
    return found;
  };
  return {
    ...settings,
    choices,
    input: (record, names) => right(record, names).context,
    target: (record, names) => right(record, names).continuation.trim(),
  };
}
