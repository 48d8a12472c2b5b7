// A task that is defined by its conversations alone.
import { UserError } from '../base/errors.js';
import type { ClassNames } from '../data/class-names.js';
import type { DataRecord } from '../data/record.js';
import { answerIn, type Conversation } from './conversation.js';
import type { TaskDefinition } from './task.js';

/**
 * A definition by its conversations alone: the assistant's last turn is the target, and all before it the input, as
 * JSON. Nothing is learned from turns behind it.
 */
export function chatTask(
  settings: Omit<TaskDefinition, 'conversation' | 'question' | 'input' | 'target'>,
  read: (record: DataRecord, names?: ClassNames) => Conversation,
): TaskDefinition {
  const conversation = (record: DataRecord, names?: ClassNames): Conversation => {
    const { messages, ...rest } = read(record, names);
    const last = messages.findLastIndex(({ role, weight }) => role === 'assistant' && weight !== 0);
    if (last === -1) throw new UserError('the conversation has no turn of the assistant to learn');
    return { ...rest, messages: messages.slice(0, last + 1) };
  };
  return {
    ...settings,
    conversation,
    question: (record, names) => {
      const { messages, ...rest } = read(record, names);
      return { ...rest, messages: messages.at(-1)!.role === 'assistant' ? messages.slice(0, -1) : messages };
    },
    input: (record, names) => {
      const { messages, tools, template } = conversation(record, names);
      return JSON.stringify([messages.slice(0, -1), ...(tools ? [tools] : []), ...(template ? [template] : [])]);
    },
    target: (record, names) => answerIn(conversation(record, names).messages.at(-1)!),
  };
}
