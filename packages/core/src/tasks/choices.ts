// Multiple choice: a task whose answer is the choice that the model finds most likely.
import { UserError } from '../base/errors.js';

/** One way to go on. */
export interface Choice {
  /** What stands in front; the same for all choices of a question, as a rule. */
  readonly context: string;
  /** The text that is scored, with the space in front of it. */
  readonly continuation: string;
  /** The choice as its length counts and as it is shown. */
  readonly text: string;
}

/** The choices of one example, and which of them is right. */
export interface Choices {
  readonly choices: readonly Choice[];
  /** From 0. */
  readonly right: number;
}

/** Choices behind one context, joined to it by a space, as lm-evaluation-harness does. */
export function choicesBehind(context: string, texts: readonly string[], right: number): Choices {
  return { choices: texts.map((text) => ({ context, continuation: ` ${text}`, text })), right };
}

/**
 * The number of the right choice. Errors: a UserError where it is none of them.
 *
 * @example rightOf('B', ['A', 'B']) // 1
 */
export function rightOf(answer: string, names: readonly string[]): number {
  const right = names.indexOf(answer);
  if (right === -1) throw new UserError(`the answer "${answer}" is none of the choices ${names.join(', ')}`);
  return right;
}
