// ByT5: a token is a byte. There is no vocabulary file.

import type { JsonObject } from '../base/json.js';
import type { Tokenizer } from './tokenizer.js';

/** `<pad>` 0, `</s>` 1 and `<unk>` 2 come before the bytes. */
const BYTES_START = 3;
const SENTINELS_START = BYTES_START + 256;
const NAMES = ['<pad>', '</s>', '<unk>'];

/**
 * ByT5's tokenizer with Transformers' ids: bytes from 3, then `<extra_id_0>`, `<extra_id_1>`, ... from 259.
 *
 * @param config tokenizer_config.json; `extra_ids` is the number of sentinels, 125 where it is silent.
 */
export function byT5Tokenizer(config: JsonObject): Tokenizer {
  // Transformers saves extra_ids 0 and lists the sentinels as added tokens.
  const count = typeof config.extra_ids === 'number' && config.extra_ids > 0 ? config.extra_ids : 125;
  const names = [...NAMES, ...Array.from({ length: count }, (_, i) => `<extra_id_${i}>`)];
  const idOf = new Map(names.map((name, i) => [name, i < NAMES.length ? i : SENTINELS_START + i - NAMES.length]));
  const nameOf = new Map([...idOf].map(([name, id]) => [id, name]));
  // `</s>` and its like take the white space around them along, as in Transformers.
  const split = /(\s*(?:<pad>|<\/s>|<unk>)\s*|<extra_id_\d+>)/u;
  return {
    vocabularySize: SENTINELS_START + count,
    beginningOfSequence: undefined,
    endOfSequence: 1,
    padding: 0,
    sentinels: Array.from({ length: count }, (_, i) => SENTINELS_START + i),
    encode(text, { specialTokens = true } = {}) {
      const ids: number[] = [];
      for (const part of text.split(split)) {
        const special = idOf.get(part.startsWith('<extra') ? part : part.trim());
        if (special !== undefined) ids.push(special);
        else for (const byte of Buffer.from(part, 'utf8')) ids.push(byte + BYTES_START);
      }
      if (specialTokens) ids.push(1);
      return ids;
    },
    decode(ids, { specialTokens = false } = {}) {
      let text = '';
      let bytes: number[] = [];
      const flush = () => {
        text += validUtf8(Uint8Array.from(bytes));
        bytes = [];
      };
      for (const id of ids) {
        const name = nameOf.get(id);
        if (id >= BYTES_START && id < SENTINELS_START) bytes.push(id - BYTES_START);
        else if (name !== undefined && specialTokens) {
          flush();
          text += name;
        }
      }
      flush();
      return text;
    },
    idOf: (token) => idOf.get(token),
    files: () =>
      new Map([
        [
          'tokenizer_config.json',
          `${JSON.stringify({ ...config, tokenizer_class: 'ByT5Tokenizer', eos_token: '</s>', pad_token: '<pad>', unk_token: '<unk>', extra_ids: count }, null, 2)}\n`,
        ],
      ]),
  };
}

/** UTF-8 text; bytes that are not UTF-8 are left out, as in Transformers. */
function validUtf8(bytes: Uint8Array): string {
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
  if (!text.includes('\ufffd')) return text;
  // A U+FFFD may be the text's own: keep it where its three bytes stand.
  let out = '';
  let at = 0;
  const source = Buffer.from(bytes);
  for (const character of text) {
    const encoded = Buffer.from(character, 'utf8');
    if (source.subarray(at, at + encoded.length).equals(encoded)) {
      out += character;
      at += encoded.length;
    } else {
      at = nextCharacter(source, at);
    }
  }
  return out;
}

/** Where decoding goes on after the ill-formed bytes at `at` (WHATWG: the longest prefix of a character is one error). */
function nextCharacter(source: Buffer, at: number): number {
  for (let end = at + 1; end < source.length; end++) {
    const decoded = source.toString('utf8', at, end + 1);
    if ([...decoded].length > 1 || decoded !== '\ufffd') return end;
  }
  return source.length;
}
