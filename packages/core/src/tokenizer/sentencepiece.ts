// SentencePiece models: the protobuf file read, and written as the content of a tokenizer.json.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BinaryReader } from '@bufbuild/protobuf/wire';
import { reworded, UserError, unreadable } from '../base/errors.js';
import type { Json, JsonObject } from '../base/json.js';
import { checkTokenLengths } from './description.js';

/**
 * Kinds of piece, numbered as in sentencepiece_model.proto (GGUF's `tokenizer.ggml.token_type` uses the same numbers).
 */
export const PieceType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** One row of a SentencePiece vocabulary; its id is its place. */
export interface VocabularyPiece {
  piece: string;
  /** Log probability (unigram) or minus the merge's rank (BPE). */
  score: number;
  /** A value of {@link PieceType}. */
  type: number;
}

/** What promot needs of a SentencePiece model. */
interface SentencePieceModel {
  type: 'unigram' | 'bpe';
  pieces: VocabularyPiece[];
  /** Ids of the special pieces, undefined where the model has none. */
  unknown: number;
  beginningOfSequence: number | undefined;
  endOfSequence: number | undefined;
  padding: number | undefined;
  byteFallback: boolean;
  /** Empty where text is taken as it is. */
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
}

/**
 * Reads a `.model` file of SentencePiece (sentencepiece_model.proto).
 * Throws a UserError for a damaged file and for kinds of model that no supported checkpoint uses (word, char).
 */
export function readSentencePiece(path: string): SentencePieceModel {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  let model: SentencePieceModel;
  try {
    model = parse(bytes);
  } catch (error) {
    if (error instanceof UserError) throw reworded(error, (message) => `${path}: ${message}`);
    throw new UserError(`${path} is not a SentencePiece model, or is damaged (${(error as Error).message}).`, {
      code: 'damaged-file',
      cause: error,
    });
  }
  if (model.pieces.length === 0) throw new UserError(`${path} holds no SentencePiece vocabulary.`);
  return model;
}

function parse(bytes: Uint8Array): SentencePieceModel {
  const model: SentencePieceModel = {
    type: 'unigram',
    pieces: [],
    unknown: 0,
    beginningOfSequence: 1,
    endOfSequence: 2,
    padding: undefined,
    byteFallback: false,
    charsmap: new Uint8Array(0),
    addDummyPrefix: true,
    removeExtraWhitespaces: true,
  };
  const idOrNone = (id: number) => (id < 0 ? undefined : id);
  eachField(bytes, {
    1: (reader) => {
      const piece: VocabularyPiece = { piece: '', score: 0, type: PieceType.normal };
      eachField(reader.bytes(), {
        1: (inner) => (piece.piece = inner.string()),
        2: (inner) => (piece.score = inner.float()),
        3: (inner) => (piece.type = inner.int32()),
      });
      model.pieces.push(piece);
    },
    2: (reader) =>
      eachField(reader.bytes(), {
        3: (inner) => {
          const type = inner.int32();
          if (type !== 1 && type !== 2)
            throw new UserError('SentencePiece models of words or characters are not read.');
          model.type = type === 1 ? 'unigram' : 'bpe';
        },
        24: (inner) => {
          if (inner.bool()) throw new UserError('SentencePiece models with spaces as suffixes are not read.');
        },
        35: (inner) => (model.byteFallback = inner.bool()),
        40: (inner) => (model.unknown = inner.int32()),
        41: (inner) => (model.beginningOfSequence = idOrNone(inner.int32())),
        42: (inner) => (model.endOfSequence = idOrNone(inner.int32())),
        43: (inner) => (model.padding = idOrNone(inner.int32())),
      }),
    3: (reader) =>
      eachField(reader.bytes(), {
        2: (inner) => (model.charsmap = inner.bytes()),
        3: (inner) => (model.addDummyPrefix = inner.bool()),
        4: (inner) => (model.removeExtraWhitespaces = inner.bool()),
      }),
  });
  return model;
}

type FieldReaders = { readonly [field: number]: (reader: BinaryReader) => void };

/** The protobuf reader, loaded with the first file: most checkpoints have a tokenizer.json, and it takes a while. */
const protobuf = (): typeof import('@bufbuild/protobuf/wire') =>
  createRequire(import.meta.url)('@bufbuild/protobuf/wire');

/** Calls the reader of each field that has one and skips the others. */
function eachField(message: Uint8Array, readers: FieldReaders): void {
  const { BinaryReader, WireType } = protobuf();
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const read = readers[field];
    if (read !== undefined && wireType !== WireType.StartGroup) read(reader);
    else reader.skip(wireType, field);
  }
}

/**
 * The content of a tokenizer.json that gives SentencePiece's ids.
 *
 * @param sentinels how many `<extra_id_N>` to append after the pieces, as T5's tokenizer does:
 *   `<extra_id_0>` gets the highest id.
 * @param place for messages: the file.
 */
export function sentencePieceDescription(
  model: SentencePieceModel,
  sentinels: number,
  place = 'the tokenizer',
): JsonObject {
  const { pieces } = model;
  checkTokenLengths(
    pieces.map(({ piece }) => piece),
    place,
  );
  const special = (content: string, id: number, isSpecial = true): JsonObject => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: isSpecial,
  });
  const added: JsonObject[] = [];
  for (const [id, { piece, type }] of pieces.entries()) {
    if (type === PieceType.control || type === PieceType.unknown) added.push(special(piece, id));
    // mT5's own sentinels are user-defined pieces with the space's mark in front; the model finds them by itself.
    // Gemma's runs of marks are found as such, too, where a text holds the marks themselves.
    else if (type === PieceType.userDefined && (!piece.startsWith('▁') || /^▁+$/.test(piece)))
      added.push(special(piece, id, false));
  }
  const sentinelNames = Array.from({ length: sentinels }, (_, i) => `<extra_id_${sentinels - 1 - i}>`);
  sentinelNames.forEach((name, i) => {
    added.push(special(name, pieces.length + i));
  });
  const unigram = model.type === 'unigram';
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: normalizer(model),
    pre_tokenizer: unigram ? { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true } : null,
    post_processor: template(model),
    decoder: unigram
      ? {
          type: 'Metaspace',
          replacement: '▁',
          prepend_scheme: model.addDummyPrefix ? 'always' : 'never',
          split: true,
        }
      : {
          type: 'Sequence',
          decoders: [
            { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
            { type: 'ByteFallback' },
            { type: 'Fuse' },
            ...(model.addDummyPrefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
          ],
        },
    model: unigram ? unigramModel(model, sentinelNames) : bpeModel(model),
  };
}

/**
 * SentencePiece's normaliser (normalizer.cc): the map, runs of spaces made one, spaces at the ends cut, one space put
 * first.
 */
function normalizer(model: SentencePieceModel): JsonObject {
  const steps: JsonObject[] = [];
  if (model.charsmap.length > 0) {
    steps.push({ type: 'Precompiled', precompiled_charsmap: Buffer.from(model.charsmap).toString('base64') });
  }
  if (model.removeExtraWhitespaces) {
    steps.push({ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' });
    steps.push({ type: 'Replace', pattern: { Regex: '\\A |[ ▁]+\\z' }, content: '' });
  }
  if (model.addDummyPrefix) steps.push({ type: 'Prepend', prepend: model.type === 'unigram' ? ' ' : '▁' });
  if (model.type === 'bpe') steps.push({ type: 'Replace', pattern: { String: ' ' }, content: '▁' });
  return { type: 'Sequence', normalizers: steps };
}

/** T5 (unigram) ends a text with `</s>`; Llama 2 (BPE) begins it with `<s>`. */
function template(model: SentencePieceModel): JsonObject | null {
  const id = model.type === 'unigram' ? model.endOfSequence : model.beginningOfSequence;
  const token = id === undefined ? undefined : model.pieces[id]?.piece;
  if (id === undefined || token === undefined) return null;
  return specialTokensTemplate(model.type === 'unigram' ? { after: { token, id } } : { before: { token, id } });
}

/** A TemplateProcessing step with a token before or after every text. */
export function specialTokensTemplate(tokens: {
  before?: { token: string; id: number };
  after?: { token: string; id: number };
}): JsonObject {
  const around = (sequence: string, type: number): Json[] => [
    ...(tokens.before ? [{ SpecialToken: { id: tokens.before.token, type_id: type } }] : []),
    { Sequence: { id: sequence, type_id: type } },
    ...(tokens.after ? [{ SpecialToken: { id: tokens.after.token, type_id: type } }] : []),
  ];
  const named = [tokens.before, tokens.after].filter((x) => x !== undefined);
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: Object.fromEntries(
      named.map(({ token, id }) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}

function unigramModel(model: SentencePieceModel, sentinelNames: string[]): JsonObject {
  return {
    type: 'Unigram',
    unk_id: model.unknown,
    // T5's and mT5's class has no use for the bytes of a vocabulary that has them.
    byte_fallback: false,
    vocab: [
      ...model.pieces.map(({ piece, score }): Json => [piece, score]),
      ...sentinelNames.map((name): Json => [name, 0]),
    ],
  };
}

/**
 * SentencePiece merges any two neighbours whose union is a piece, the best score first; a merge list says the same.
 * Merges that make one piece are ordered as Transformers orders them: the longest left part first.
 */
function bpeModel(model: SentencePieceModel): JsonObject {
  const joinable = new Map<string, number>();
  for (const { piece, score, type } of model.pieces) {
    if (type === PieceType.normal) joinable.set(piece, score);
    // SentencePiece takes user-defined pieces out of a text before it merges.
    else if (type === PieceType.userDefined) joinable.set(piece, Number.MAX_VALUE);
  }
  const merges: { left: string; right: string; score: number }[] = [];
  for (const [piece, score] of joinable) {
    let cut = 0;
    for (const character of piece) {
      cut += character.length;
      const left = piece.slice(0, cut);
      const right = piece.slice(cut);
      if (right !== '' && joinable.has(left) && joinable.has(right)) merges.push({ left, right, score });
    }
  }
  merges.sort((a, b) => b.score - a.score || [...b.left].length - [...a.left].length);
  return {
    type: 'BPE',
    dropout: null,
    unk_token: model.pieces[model.unknown]?.piece ?? null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: true,
    byte_fallback: model.byteFallback,
    ignore_merges: false,
    vocab: Object.fromEntries(model.pieces.map(({ piece }, id) => [piece, id])),
    merges: merges.map(({ left, right }): Json => [left, right]),
  };
}
