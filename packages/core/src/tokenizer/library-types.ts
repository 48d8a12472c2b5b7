// The part of @huggingface/tokenizers that promot uses, typed. (The package's own declarations import each other
// without file extensions, which TypeScript's Node resolution does not find, so all its classes would be `any`.)

import * as untyped from '@huggingface/tokenizers';
import type { JsonObject } from '../base/json.js';

/** The library's tokenizer. */
export interface LibraryTokenizer {
  readonly normalizer: object | null;
  readonly pre_tokenizer: object | null;
  /** Tokens by id, and ids by token. */
  readonly model: {
    readonly vocab: readonly (string | undefined)[];
    readonly tokens_to_ids: ReadonlyMap<string, number>;
  };
  readonly decoder: object | null;
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  /** Throws for an empty list. */
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_added_tokens_decoder(): Map<number, { readonly special: boolean }>;
  get_vocab(): Map<string, number>;
}

/** The library's unigram model. */
export interface UnigramModel {
  encode(words: string[]): string[];
  tokenize(word: string): string[];
  readonly tokens_to_ids: ReadonlyMap<string, number>;
}

type Constructor<T> = new (...parameters: never[]) => T;

interface Library {
  Tokenizer: new (description: JsonObject, config: JsonObject) => LibraryTokenizer;
  SequenceNormalizer: Constructor<{ normalizers: (object | null)[] }>;
  PrecompiledNormalizer: Constructor<{ charsmap: unknown; normalize(text: string): string }>;
  PrependNormalizer: Constructor<{ config: { prepend: string }; normalize(text: string): string }>;
  SequencePreTokenizer: Constructor<{ tokenizers: (object | null)[] }>;
  ByteLevelPreTokenizer: Constructor<{ pattern: RegExp }>;
  DigitsPreTokenizer: Constructor<{ config: { individual_digits?: boolean }; pattern: RegExp }>;
  SequenceDecoder: Constructor<{ decoders: object[] }>;
  ByteFallbackDecoder: Constructor<{ decode_chain(tokens: string[]): string[] }>;
  Unigram: Constructor<UnigramModel>;
}

/** The library's classes. */
export const library = untyped as unknown as Library;
