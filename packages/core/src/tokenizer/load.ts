// Finds a checkpoint folder's tokenizer among the files that hubs hold.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { isJsonObject, type JsonObject, readJsonObject } from '../base/json.js';
import { sentinelCount } from './added-tokens.js';
import { byT5Tokenizer } from './byt5.js';
import { huggingFaceTokenizer, type TokenizerFiles } from './hugging-face.js';
import { readSentencePiece, sentencePieceDescription } from './sentencepiece.js';
import { type Tokenizer, tokenizerWith } from './tokenizer.js';

/** All files that a tokenizer may consist of. */
const FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'spiece.model',
  'tokenizer.model',
  'sentencepiece.bpe.model',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
];

/**
 * The tokenizer of a Hugging Face folder: tokenizer.json where there is one, else spiece.model or tokenizer.model
 * (SentencePiece), else ByT5's where the configuration names it. tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, generation_config.json and config.json add what they know.
 * A tokenizer's own truncation, padding and greatest length are ignored.
 *
 * Throws a UserError where the folder has no tokenizer or a damaged one.
 */
export function loadTokenizer(folder: string): Tokenizer {
  if (!existsSync(folder) || !statSync(folder).isDirectory()) throw new UserError(`${folder} is not a folder.`);
  const tokenizer = readTokenizer(folder);
  const files = new Map(
    FILES.filter((name) => existsSync(join(folder, name))).map((name) => [name, readFileSync(join(folder, name))]),
  );
  return tokenizerWith(tokenizer, { files: () => files });
}

function readTokenizer(folder: string): Tokenizer {
  const model = readJsonObject(folder, 'config.json') ?? {};
  const config = tokenizerConfig(folder, model);
  const modelIds = idsOfModel(readJsonObject(folder, 'generation_config.json') ?? {}, model);

  const description = readJsonObject(folder, 'tokenizer.json');
  if (description) {
    // Transformers 5 takes what stands around a text from tokenizer.json alone; GPT-NeoX's class puts nothing there.
    const { add_bos_token: _bos, add_eos_token: _eos, ...rest } = config;
    if (/^GPTNeoXTokenizer(Fast)?$/.test(String(config.tokenizer_class))) description.post_processor = null;
    return huggingFaceTokenizer({ place: folder, description, config: rest, modelIds });
  }

  const name = ['spiece.model', 'tokenizer.model', 'sentencepiece.bpe.model'].find((x) => existsSync(join(folder, x)));
  if (name) return fromSentencePiece(folder, name, config, modelIds);

  if (config.tokenizer_class === 'ByT5Tokenizer') return byT5Tokenizer(config, join(folder, 'tokenizer_config.json'));
  throw new UserError(`${folder} has no tokenizer: tokenizer.json, spiece.model or tokenizer.model is needed.`);
}

/** tokenizer_config.json with what special_tokens_map.json, added_tokens.json and the model's kind say besides. */
function tokenizerConfig(folder: string, model: JsonObject): JsonObject {
  const config: JsonObject = {
    ...readJsonObject(folder, 'special_tokens_map.json'),
    ...readJsonObject(folder, 'tokenizer_config.json'),
  };
  const added = readJsonObject(folder, 'added_tokens.json');
  if (added) {
    const decoder: JsonObject = isJsonObject(config.added_tokens_decoder) ? { ...config.added_tokens_decoder } : {};
    for (const [content, id] of Object.entries(added)) {
      if (!Number.isInteger(id))
        throw new UserError(`${join(folder, 'added_tokens.json')}: "${content}" has no token id`);
      decoder[String(id)] ??= { content, special: false };
    }
    config.added_tokens_decoder = decoder;
  }
  // As Transformers does: a T5 without a named tokenizer class has T5's.
  if (config.tokenizer_class === undefined && ['t5', 'mt5', 'umt5'].includes(String(model.model_type))) {
    config.tokenizer_class = 'T5Tokenizer';
  }
  return config;
}

function fromSentencePiece(
  folder: string,
  name: string,
  config: JsonObject,
  modelIds: TokenizerFiles['modelIds'],
): Tokenizer {
  const model = readSentencePiece(join(folder, name));
  const holdsSentinels = model.pieces.some(({ piece }) => /^▁?<extra_id_\d+>$/.test(piece));
  const wanted = sentinelCount(config.extra_ids, 100, join(folder, 'tokenizer_config.json'));
  const t5 = model.type === 'unigram';
  const description = sentencePieceDescription(model, t5 && !holdsSentinels ? wanted : 0, join(folder, name));
  const piece = (id: number | undefined) => (id === undefined ? undefined : model.pieces[id]?.piece);
  const complete: JsonObject = { ...config };
  const known = {
    bos_token: piece(model.beginningOfSequence),
    eos_token: piece(model.endOfSequence),
    pad_token: piece(model.padding),
    unk_token: piece(model.unknown),
  };
  for (const [key, value] of Object.entries(known)) if (value !== undefined) complete[key] ??= value;
  // The description is complete: another class would build its own pipeline around the vocabulary.
  complete.tokenizer_class = t5 ? 'T5Tokenizer' : 'PreTrainedTokenizerFast';
  if (t5) complete.extra_ids = holdsSentinels ? 0 : wanted;
  return huggingFaceTokenizer({ place: join(folder, name), description, config: complete, modelIds });
}

/** Special ids of generation_config.json and config.json; of several ends of sequence the first. */
function idsOfModel(generation: JsonObject, model: JsonObject): NonNullable<TokenizerFiles['modelIds']> {
  const id = (key: string): number | undefined => {
    for (const source of [generation, model]) {
      const value = source[key];
      const first = Array.isArray(value) ? value[0] : value;
      if (typeof first === 'number' && Number.isInteger(first) && first >= 0) return first;
    }
    return undefined;
  };
  return { beginningOfSequence: id('bos_token_id'), endOfSequence: id('eos_token_id'), padding: id('pad_token_id') };
}
