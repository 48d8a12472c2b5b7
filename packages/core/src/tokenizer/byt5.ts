// ByT5: a token is a byte. There is no vocabulary file.

import { UserError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { readAddedTokens, sentinelCount } from './added-tokens.js';
import type { Tokenizer } from './tokenizer.js';

/** `<pad>` 0, `</s>` 1 and `<unk>` 2 come before the bytes. */
const BYTES_START = 3;
const SENTINELS_START = BYTES_START + 256;
const NAMES = ['<pad>', '</s>', '<unk>'];

/** A token that is more than a byte. */
interface Named {
  readonly id: number;
  readonly content: string;
  /** Takes white space on this side along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly special: boolean;
}

/**
 * ByT5's tokenizer with Transformers' ids: bytes from 3, then `<extra_id_0>`, `<extra_id_1>`, ... from 259, then added
 * tokens. Throws a UserError for added tokens that do not fit together.
 *
 * @param config tokenizer_config.json; `extra_ids` is the number of sentinels, 125 where it is silent.
 */
export function byT5Tokenizer(config: JsonObject, place = 'the tokenizer'): Tokenizer {
  // Transformers saves extra_ids 0 and lists the sentinels as added tokens.
  const asked = sentinelCount(config.extra_ids, 0, place) || 125;
  const named = namedTokens(config, asked, place);
  const byName = new Map(named.map((token) => [token.content, token]));
  const byId = new Map(named.map((token) => [token.id, token]));
  const sentinels: number[] = [];
  for (const { content, id } of named) {
    const number = /^<extra_id_(\d{1,4})>$/.exec(content)?.[1];
    if (number !== undefined) sentinels[Number(number)] = id;
  }
  // Of tokens that begin alike the longest counts.
  const names = [...named].sort((a, b) => b.content.length - a.content.length);
  const pattern = names.map(({ content, lstrip, rstrip }) => {
    const literal = content.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
    return `${lstrip ? '\\s*' : ''}${literal}${rstrip ? '\\s*' : ''}`;
  });
  const split = new RegExp(`(${pattern.join('|')})`);
  return {
    vocabularySize: Math.max(SENTINELS_START - 1, ...named.map(({ id }) => id)) + 1,
    beginningOfSequence: undefined,
    endOfSequence: 1,
    padding: 0,
    unknown: undefined,
    sentinels: sentinels.filter((id) => id !== undefined),
    encode(text, { specialTokens = true } = {}) {
      const ids: number[] = [];
      // Every second part is a token.
      for (const [i, part] of text.split(split).entries()) {
        const token = i % 2 === 1 ? (byName.get(part) ?? byName.get(part.trim())) : undefined;
        if (token) ids.push(token.id);
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
        const token = byId.get(id);
        if (id >= BYTES_START && id < SENTINELS_START) bytes.push(id - BYTES_START);
        else if (token && (specialTokens || !token.special)) {
          flush();
          text += token.content;
        }
      }
      flush();
      return text;
    },
    idOf: (token) => byName.get(token)?.id,
    files: () => {
      const named = { eos_token: '</s>', pad_token: '<pad>', unk_token: '<unk>', extra_ids: asked };
      const saved = { ...config, tokenizer_class: 'ByT5Tokenizer', ...named };
      return new Map([['tokenizer_config.json', `${JSON.stringify(saved, null, 2)}\n`]]);
    },
  };
}

/** All tokens but the bytes: the three in front, the sentinels, those that the configuration adds. */
function namedTokens(config: JsonObject, sentinels: number, place: string): Named[] {
  const found = new Map<string, Named>();
  const ends = { lstrip: true, rstrip: true, special: true };
  for (const [id, content] of NAMES.entries()) found.set(content, { id, content, ...ends });
  const listed = readAddedTokens(config.added_tokens_decoder, place);
  // A list that holds sentinels holds all of them.
  if (!listed.some(({ content }) => content.startsWith('<extra_id_')))
    for (let i = 0; i < sentinels; i++) {
      const content = `<extra_id_${i}>`;
      found.set(content, { id: SENTINELS_START + i, content, lstrip: false, rstrip: false, special: true });
    }
  let next = SENTINELS_START + sentinels;
  for (const { id, content, properties } of listed) {
    if (found.has(content)) continue;
    if (id < SENTINELS_START) throw new UserError(`${place}: the added token "${content}" has the id of a byte, ${id}`);
    const flag = (key: string) => properties[key] === true;
    found.set(content, { id, content, lstrip: flag('lstrip'), rstrip: flag('rstrip'), special: flag('special') });
    next = Math.max(next, id + 1);
  }
  for (const key of ['additional_special_tokens', 'extra_special_tokens']) {
    const more = config[key];
    for (const value of Array.isArray(more) ? more : []) {
      const content = typeof value === 'string' ? value : isJsonObject(value) ? value.content : undefined;
      if (typeof content !== 'string' || content === '') continue;
      const known = found.get(content);
      found.set(
        content,
        known ? { ...known, special: true } : { ...ends, lstrip: false, rstrip: false, id: next++, content },
      );
    }
  }
  const ids = new Set([...found.values()].map(({ id }) => id));
  if (ids.size < found.size) throw new UserError(`${place}: two added tokens have one id`);
  return [...found.values()];
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

/**
 * Where decoding goes on after the ill-formed bytes at `at` (WHATWG: the longest prefix of a character is one error).
 */
function nextCharacter(source: Buffer, at: number): number {
  for (let end = at + 1; end < source.length; end++) {
    const decoded = source.toString('utf8', at, end + 1);
    if ([...decoded].length > 1 || decoded !== '\ufffd') return end;
  }
  return source.length;
}
