// From texts to the token ids that a model trains on: the conventions that score, generate and train share.

import type { Example } from '../tasks/task.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { tokenizeChat } from './chat.js';
import type { LanguageModel, TokenizedExample } from './model.js';

type Kind = LanguageModel['kind'];

/**
 * An input exactly as given, with the tokenizer's own special tokens; cut at `maxLength` tokens where that is not 0.
 */
export function tokenizeInput(text: string, tokenizer: Tokenizer, kind: Kind, maxLength = 0): number[] {
  const ids = tokenizer.encode(text);
  // Nothing to predict from: a decoder-only model starts at its start token, or for want of one at the end of another
  // text.
  if (ids.length === 0 && kind === 'decoder-only') return [tokenizer.beginningOfSequence ?? tokenizer.endOfSequence];
  if (maxLength === 0 || ids.length <= maxLength) return ids;
  // A cut input still ends as the tokenizer ends inputs (T5: </s>).
  return ids.at(-1) === tokenizer.endOfSequence
    ? [...ids.slice(0, maxLength - 1), tokenizer.endOfSequence]
    : ids.slice(0, maxLength);
}

/** A target exactly as given, without special tokens, and the end-of-sequence token. */
export function tokenizeTarget(text: string, tokenizer: Tokenizer): number[] {
  return [...tokenizer.encode(text, { specialTokens: false }), tokenizer.endOfSequence];
}

/** A task's target as it stands behind its input: decoder-only models get one space that belongs to the target. */
export function joinedTarget(target: string, kind: Kind): string {
  return kind === 'decoder-only' ? ` ${target}` : target;
}

/** A task's example: a text and what follows it, or a conversation as the model's chat template renders it. */
export type TextExample = Pick<Example, 'input' | 'target' | 'conversation' | 'chat'>;

/** The input of a task's example. */
export function tokenizePrompt(example: TextExample, tokenizer: Tokenizer, kind: Kind, maxInputLength = 0): number[] {
  const { input, conversation, chat } = example;
  if (conversation && !chat) throw new RangeError('a conversation is rendered first: see renderChats');
  // The template has written the special tokens.
  return chat
    ? tokenizer.encode(input, { specialTokens: false })
    : tokenizeInput(input, tokenizer, kind, maxInputLength);
}

/** A task's example for training and scoring. */
export function tokenizeExample(
  example: TextExample,
  tokenizer: Tokenizer,
  kind: Kind,
  maxInputLength = 0,
): TokenizedExample {
  const { input, target, conversation, chat } = example;
  if (conversation && !chat) throw new RangeError('a conversation is rendered first: see renderChats');
  if (chat) return tokenizeChat(chat, tokenizer);
  return {
    input: tokenizeInput(input, tokenizer, kind, maxInputLength),
    target: tokenizeTarget(joinedTarget(target, kind), tokenizer),
  };
}
