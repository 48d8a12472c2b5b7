// The tokens at which generation with a GGUF file ends: llama.cpp's rules (llama-vocab.cpp, special_eog_ids).

import type { GgufMetadata } from './gguf.js';

/** Names that end a generation wherever a vocabulary has them. */
const ENDS = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|flush|>',
  '<|calls|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '</s>',
  '<|eom_id|>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<|end_of_text|>',
  '<end_of_utterance>',
  '<eos>',
  '<turn|>',
  '<|tool_response>',
]);

/**
 * Names of the tokens of code models around a file; of each row the key that a file may say, and the first that it has.
 */
const FILE_MARKS = [
  ['fim_pad', ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]']],
  ['fim_rep', ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>']],
  ['fim_sep', ['<|file_sep|>']],
] as const;

const NAMES = new Set([...ENDS, ...FILE_MARKS.flatMap(([, names]) => names)]);

const CONTROL = 3;

/**
 * Ids of the tokens that end a generation: the end of sequence that the file names first, then the others by id; empty
 * where the file has no vocabulary.
 */
export function endTokens(metadata: GgufMetadata): number[] {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const types = metadata.get('tokenizer.ggml.token_type');
  if (!Array.isArray(tokens)) return [];
  const idOf = new Map<unknown, number>();
  for (const [id, token] of tokens.entries()) if (NAMES.has(token as string)) idOf.set(token, id);
  const named = (key: string): number[] => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`);
    return typeof id === 'number' && Number.isInteger(id) && tokens[id] !== undefined ? [id] : [];
  };
  const ends = new Set(['eos', 'eot', 'eom'].flatMap(named));
  const [first] = ends;
  for (const [key, names] of FILE_MARKS) {
    const [id] = [...named(key), ...names.flatMap((name) => idOf.get(name) ?? [])];
    if (id !== undefined) ends.add(id);
  }
  for (const name of ENDS) {
    const id = idOf.get(name);
    if (id === undefined) continue;
    // Gemma has "</s>" as a piece of HTML, which is no end there (llama.cpp leaves it out of Gemma 4's ends alone).
    if (name === '</s>' && Array.isArray(types) && types[id] !== CONTROL) continue;
    ends.add(id);
  }
  const has = (...all: string[]) => all.every((name) => ends.has(idOf.get(name) ?? -1));
  // In OpenAI's and Solar's vocabularies "<|end|>" ends a message and not the turn.
  if (has('<|return|>', '<|call|>') || (has('<|flush|>') && (has('<|call|>') || has('<|calls|>')))) {
    ends.delete(idOf.get('<|end|>') ?? -1);
  }
  const others = [...ends].filter((id) => id !== first).sort((a, b) => a - b);
  return first === undefined ? others : [first, ...others];
}
