// The tokenizer that a GGUF file carries in its metadata.

import { UserError } from '../base/errors.js';
import type { Json, JsonObject } from '../base/json.js';
import type { GgufMetadata } from '../formats/gguf.js';
import { huggingFaceTokenizer } from './hugging-face.js';
import { PieceType, sentencePieceDescription, specialTokensTemplate, type VocabularyPiece } from './sentencepiece.js';
import type { Tokenizer } from './tokenizer.js';

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LLAMA3_REST = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

interface PreTokenizer {
  normalizer: JsonObject | null;
  steps: JsonObject[];
  /** A word that is a token is not taken apart and merged again. */
  ignoreMerges: boolean;
}

const byteLevel = (useRegex: boolean): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: false,
  use_regex: useRegex,
});
const split = (regex: string): JsonObject => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

const gpt2: PreTokenizer = { normalizer: null, steps: [byteLevel(true)], ignoreMerges: false };
const digitsApart: PreTokenizer = {
  normalizer: null,
  steps: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
  ignoreMerges: false,
};
const llama3: PreTokenizer = {
  normalizer: null,
  steps: [split(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${LLAMA3_REST}`), byteLevel(false)],
  ignoreMerges: true,
};
const qwen2: PreTokenizer = {
  normalizer: { type: 'NFC' },
  steps: [split(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${LLAMA3_REST}`), byteLevel(false)],
  ignoreMerges: false,
};

/** o200k's: words by their letters' case, with the contraction behind them. */
const gpt4o: PreTokenizer = {
  normalizer: null,
  steps: [
    split(
      [
        `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+${CONTRACTIONS}?`,
        `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*${CONTRACTIONS}?`,
        '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
      ].join('|'),
    ),
    byteLevel(false),
  ],
  ignoreMerges: false,
};

/** By `tokenizer.ggml.pre`, as Hugging Face's tokenizer.json of the same models describes them. */
const PRE_TOKENIZERS: ReadonlyMap<string, PreTokenizer> = new Map([
  ['default', gpt2],
  ['gpt-2', gpt2],
  ['smollm', digitsApart],
  ['starcoder', digitsApart],
  ['refact', digitsApart], // Granite
  ['olmo', gpt2],
  ['dbrx', { ...llama3, ignoreMerges: false }], // OLMo 2
  ['llama-bpe', llama3],
  ['llama3', llama3],
  ['llama-v3', llama3],
  ['smaug-bpe', llama3],
  ['exaone4', gpt2],
  ['gpt-4o', gpt4o], // Phi-4-mini
  ['qwen2', qwen2],
  ['deepseek-r1-qwen', qwen2],
]);

/**
 * Builds the tokenizer of a GGUF file: `tokenizer.ggml.model` "gpt2" (byte-level BPE), "llama" (SentencePiece BPE) or
 * "t5" (SentencePiece unigram).
 *
 * @param metadata the file's metadata.
 * @param place for messages: the file.
 * Throws a UserError for other kinds, an unknown pre-tokenizer and metadata that does not fit together.
 */
export function tokenizerFromGguf(metadata: GgufMetadata, place = 'the GGUF file'): Tokenizer {
  const get = (key: string) => metadata.get(`tokenizer.ggml.${key}`);
  const tokens = list(get('tokens'), 'string', place, 'tokens');
  const kind = get('model');
  const types = get('token_type') === undefined ? [] : list(get('token_type'), 'number', place, 'token_type');
  const id = (key: string): number | undefined => {
    const value = get(`${key}_token_id`);
    return typeof value === 'number' && tokens[value] !== undefined ? value : undefined;
  };
  const ids = { bos: id('bos'), eos: id('eos'), unknown: id('unknown'), padding: id('padding') };
  let description: JsonObject;
  if (kind === 'gpt2') {
    description = byteLevelDescription(metadata, place, tokens, types);
  } else if (kind === 'llama' || kind === 't5') {
    const scores = list(get('scores'), 'number', place, 'scores');
    if (scores.length !== tokens.length || (types.length > 0 && types.length !== tokens.length)) {
      throw new UserError(
        `${place} is damaged: its tokenizer has ${tokens.length} tokens and another number of scores.`,
      );
    }
    const pieces = tokens.map((token, i) => pieceOf(token, scores[i]!, types[i] ?? PieceType.normal));
    const isUnigram = kind === 't5';
    // The converter fills up to the rows of the model. T5's sentinels, which its SentencePiece file lacks, go so, too.
    let used = pieces.length;
    while (isUnigram && used > 0 && pieces[used - 1]!.piece === `[PAD${used - 1}]`) used--;
    const charsmap = get('precompiled_charsmap');
    description = sentencePieceDescription(
      {
        type: isUnigram ? 'unigram' : 'bpe',
        pieces: pieces.slice(0, used),
        unknown: ids.unknown ?? Math.max(0, types.indexOf(PieceType.unknown)),
        beginningOfSequence: ids.bos,
        endOfSequence: ids.eos,
        padding: ids.padding,
        byteFallback: !isUnigram || types.includes(PieceType.byte),
        charsmap: isUnigram && Array.isArray(charsmap) ? Uint8Array.from(charsmap as number[]) : new Uint8Array(0),
        addDummyPrefix: get('add_space_prefix') !== false,
        removeExtraWhitespaces: get('remove_extra_whitespaces') === true,
      },
      pieces.length - used >= sentinels ? sentinels : 0,
      place,
    );
  } else {
    throw new UserError(
      `${place}: a tokenizer of the kind ${JSON.stringify(kind)} is not supported (gpt2, llama, t5 are).`,
    );
  }
  // llama.cpp's defaults: a text begins with the first token for SentencePiece BPE, and ends with the last one for T5.
  const addsBos = get('add_bos_token') ?? (kind === 'llama' || get('pre') === 'llama-bpe');
  const token = (x: number | undefined) => (x === undefined ? undefined : { token: tokens[x]!, id: x });
  const before = addsBos === true ? token(ids.bos) : undefined;
  const after = (get('add_eos_token') ?? kind === 't5') === true ? token(ids.eos) : undefined;
  description.post_processor =
    before || after ? specialTokensTemplate({ ...(before && { before }), ...(after && { after }) }) : null;

  const config: JsonObject = { tokenizer_class: 'PreTrainedTokenizerFast' };
  const names = { bos_token: ids.bos, eos_token: ids.eos, unk_token: ids.unknown, pad_token: ids.padding };
  for (const [key, value] of Object.entries(names)) if (value !== undefined) config[key] = tokens[value]!;
  const template = metadata.get('tokenizer.chat_template');
  if (typeof template === 'string') config.chat_template = template;
  return huggingFaceTokenizer({ place, description, config });
}

/** Of T5's tokenizer. */
const sentinels = 100;

/**
 * llama.cpp's converter writes user-defined pieces with spaces in place of the mark, Gemma's runs of spaces among them.
 */
function pieceOf(token: string, score: number, type: number): VocabularyPiece {
  return { piece: type === PieceType.userDefined ? token.replaceAll(' ', '▁') : token, score, type };
}

function byteLevelDescription(metadata: GgufMetadata, place: string, tokens: string[], types: number[]): JsonObject {
  const merges = list(metadata.get('tokenizer.ggml.merges'), 'string', place, 'merges');
  const pre = metadata.get('tokenizer.ggml.pre') ?? 'default';
  const preTokenizer = PRE_TOKENIZERS.get(String(pre));
  if (!preTokenizer) {
    throw new UserError(
      `${place}: the pre-tokenizer ${JSON.stringify(pre)} is not known (${[...PRE_TOKENIZERS.keys()].join(', ')} ` +
        'are). Use the Hugging Face folder of the model.',
    );
  }
  const added: JsonObject[] = [];
  for (const [id, content] of tokens.entries()) {
    const type = types[id] ?? PieceType.normal;
    if (type === PieceType.control || type === PieceType.unknown || type === PieceType.userDefined) {
      const special = type !== PieceType.userDefined;
      added.push({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special });
    }
  }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: preTokenizer.normalizer,
    pre_tokenizer: { type: 'Sequence', pretokenizers: preTokenizer.steps },
    post_processor: null,
    decoder: byteLevel(true),
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: preTokenizer.ignoreMerges,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      // A merge is two tokens with one space between; a token itself never holds a space here.
      merges: merges.map((merge): Json => {
        // As `split` does, in half of its time.
        const space = merge.indexOf(' ');
        if (space < 0 || space !== merge.lastIndexOf(' '))
          throw new UserError(`${place} is damaged: ${JSON.stringify(merge)} is no merge.`);
        return [merge.slice(0, space), merge.slice(space + 1)];
      }),
    },
  };
}

type Listed = { string: string; number: number };

function list<T extends keyof Listed>(value: unknown, type: T, place: string, key: string): Listed[T][] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === type)) return value;
  throw new UserError(`${place} has no tokenizer that can be read: its tokenizer.ggml.${key} is missing or damaged.`);
}
