// The tokenizer library (@huggingface/tokenizers) with the places made exact where it only approximates the Rust
// `tokenizers` crate or SentencePiece. Each correction says what the library does otherwise.

import type { Json, JsonObject } from '../base/json.js';
import { Charsmap } from './charsmap.js';
import { type LibraryTokenizer, library, type UnigramModel } from './library-types.js';

/** GPT-2's pre-tokenization with Unicode's White_Space: JavaScript's \s has U+FEFF too and lacks U+0085. */
const GPT2_PATTERN =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** Distinct words whose pieces are remembered; then the memory starts anew. */
const REMEMBERED_WORDS = 50_000;

/**
 * The library's tokenizer for the content of a tokenizer.json, made exact.
 * Throws what the library throws for a description that it does not understand.
 */
export function libraryTokenizer(description: JsonObject): LibraryTokenizer {
  const tokenizer = new library.Tokenizer(
    { ...description, pre_tokenizer: exactPreTokenizer(description.pre_tokenizer ?? null) },
    { clean_up_tokenization_spaces: false },
  );
  fixNormalizer(tokenizer.normalizer);
  fixPreTokenizer(tokenizer.pre_tokenizer);
  fixDecoder(tokenizer.decoder);
  if (tokenizer.model instanceof library.Unigram) {
    const { byte_fallback: fallsBack } = description.model as JsonObject;
    rememberWords(tokenizer.model, fallsBack === true);
  }
  return tokenizer;
}

/** Pre-tokenizers that the library runs differently, written as ones that it runs exactly. */
function exactPreTokenizer(description: Json): Json {
  if (typeof description !== 'object' || description === null || Array.isArray(description)) return description;
  switch (description.type) {
    case 'Sequence':
      return { ...description, pretokenizers: asArray(description.pretokenizers).map(exactPreTokenizer) };
    case 'WhitespaceSplit': // the library splits at JavaScript's \s
      return { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false };
    case 'Metaspace': {
      // The library never splits; the crate does, in front of every "▁", unless told otherwise.
      const { add_prefix_space: addsPrefix, ...rest } = description;
      const scheme = description.prepend_scheme ?? (addsPrefix === false ? 'never' : 'always');
      const metaspace = { ...rest, prepend_scheme: scheme };
      if (description.split === false) return metaspace;
      const mark = typeof description.replacement === 'string' ? description.replacement : '▁';
      const words = { type: 'Split', pattern: { Regex: `${mark}[^${mark}]*|[^${mark}]+` }, invert: true };
      return { type: 'Sequence', pretokenizers: [metaspace, words] };
    }
    default:
      return description;
  }
}

function asArray(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

function fixNormalizer(normalizer: object | null): void {
  if (normalizer instanceof library.SequenceNormalizer) {
    for (const part of normalizer.normalizers) fixNormalizer(part);
  } else if (normalizer instanceof library.PrecompiledNormalizer) {
    // The library stands in for every map with NFKC and a few replacements.
    if (typeof normalizer.charsmap !== 'string' || normalizer.charsmap === '') {
      normalizer.normalize = (text) => text;
    } else {
      const map = new Charsmap(Buffer.from(normalizer.charsmap, 'base64'));
      normalizer.normalize = (text) => map.normalize(text);
    }
  } else if (normalizer instanceof library.PrependNormalizer) {
    const { prepend } = normalizer.config;
    normalizer.normalize = (text) => (text === '' ? '' : prepend + text); // the crate leaves an empty text empty
  }
}

function fixPreTokenizer(part: object | null): void {
  if (part instanceof library.SequencePreTokenizer) {
    for (const inner of part.tokenizers) fixPreTokenizer(inner);
  } else if (part instanceof library.ByteLevelPreTokenizer) {
    part.pattern = GPT2_PATTERN;
  } else if (part instanceof library.DigitsPreTokenizer) {
    // The crate's digits are Unicode's numbers; the library's are 0 to 9.
    const individual = part.config.individual_digits === true;
    part.pattern = individual ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu;
  }
}

function fixDecoder(decoder: object | null): void {
  if (decoder instanceof library.SequenceDecoder) {
    for (const part of decoder.decoders) fixDecoder(part);
  } else if (decoder instanceof library.ByteFallbackDecoder) {
    decoder.decode_chain = decodeByteFallback;
  }
}

/**
 * Runs of `<0xNN>` tokens as the UTF-8 they spell; a run that is not UTF-8 gives one U+FFFD a byte, as in the crate.
 * (The library gives fewer U+FFFD and drops a leading byte order mark.)
 */
function decodeByteFallback(tokens: string[]): string[] {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const out: string[] = [];
  let run: number[] = [];
  const flush = () => {
    if (run.length === 0) return;
    try {
      out.push(utf8.decode(Uint8Array.from(run)));
    } catch {
      out.push('\ufffd'.repeat(run.length));
    }
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token);
    if (byte) {
      run.push(Number.parseInt(byte[1]!, 16));
    } else {
      flush();
      out.push(token);
    }
  }
  flush();
  return out;
}

/**
 * The library searches every word anew; the words of a language repeat. It knows no byte fallback: with it a piece that
 * is no token becomes its UTF-8 bytes, where the vocabulary has them all.
 */
function rememberWords(model: UnigramModel, fallsBack: boolean): void {
  const pieces = (word: string): string[] => {
    const found = model.tokenize(word);
    if (!fallsBack) return found;
    return found.flatMap((piece) => {
      if (model.tokens_to_ids.has(piece)) return [piece];
      const bytes = [...Buffer.from(piece, 'utf8')].map((x) => `<0x${x.toString(16).toUpperCase().padStart(2, '0')}>`);
      return bytes.every((byte) => model.tokens_to_ids.has(byte)) ? bytes : [piece];
    });
  };
  const known = new Map<string, string[]>();
  model.encode = (words) => {
    const all: string[] = [];
    for (const word of words) {
      let found = known.get(word);
      if (found === undefined) {
        found = pieces(word);
        if (known.size >= REMEMBERED_WORDS) known.clear();
        known.set(word, found);
      }
      for (const piece of found) all.push(piece);
    }
    return all;
  };
}
