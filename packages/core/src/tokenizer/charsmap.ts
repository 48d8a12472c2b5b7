// SentencePiece's precompiled character map, applied exactly: the longest match of a Darts double-array trie.

import { UserError } from '../base/errors.js';

/** Bit fields of a Darts-clone unit (https://github.com/s-yata/darts-clone, include/darts.h, DoubleArrayUnit). */
const hasLeaf = (unit: number): boolean => ((unit >>> 8) & 1) === 1;
const label = (unit: number): number => unit & 0x800000ff;
const offset = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/**
 * The `precompiled_charsmap` of a SentencePiece normaliser (nmt_nfkc and the like): UTF-8 strings to their
 * replacements. Layout: byte length of the trie (u32), the trie's units (u32 each), then the replacements, each ended
 * by a zero byte. All numbers are little-endian; a trie value is a replacement's offset (sentencepiece,
 * src/normalizer.cc).
 */
export class Charsmap {
  readonly #trie: Uint32Array;
  readonly #replacements: Buffer;
  /** Replacements already decoded, by offset. */
  readonly #decoded = new Map<number, string>();
  /** True where printable ASCII text is left as it is: no key begins with two such bytes or is one. */
  readonly #keepsAscii: boolean;

  /** @param bytes the map as the SentencePiece model or the (base64-decoded) tokenizer.json holds it. */
  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : 0;
    if (size === 0 || size % 4 !== 0 || size > bytes.length - 4) {
      throw new UserError('The tokenizer is damaged: its precompiled_charsmap says a size that it does not have.');
    }
    this.#trie = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.#replacements = Buffer.from(bytes.subarray(4 + size));
    this.#keepsAscii = this.#asciiIsKept();
  }

  /**
   * The text with every longest key replaced, left to right; other characters stay.
   * Lone surrogates become U+FFFD, as in any conversion to UTF-8.
   */
  normalize(text: string): string {
    if (this.#keepsAscii && /^[\x20-\x7e]*$/.test(text)) return text;
    const bytes = Buffer.from(text, 'utf8');
    let out = '';
    let kept = 0; // start of the bytes that are kept as they are
    for (let at = 0; at < bytes.length; ) {
      const match = this.#longestMatch(bytes, at);
      if (match === undefined) {
        const first = bytes[at]!;
        at += first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
        continue;
      }
      out += bytes.toString('utf8', kept, at) + this.#replacement(match.value);
      at += match.length;
      kept = at;
    }
    return out + bytes.toString('utf8', kept);
  }

  #longestMatch(bytes: Uint8Array, start: number): { value: number; length: number } | undefined {
    const trie = this.#trie;
    let node = offset(trie[0]!);
    let found: { value: number; length: number } | undefined;
    for (let at = start; at < bytes.length; at++) {
      node ^= bytes[at]!;
      const unit = trie[node];
      if (unit === undefined || label(unit) !== bytes[at]) break;
      node ^= offset(unit);
      if (hasLeaf(unit)) found = { value: (trie[node] ?? 0) & 0x7fffffff, length: at + 1 - start };
    }
    return found;
  }

  #replacement(start: number): string {
    let text = this.#decoded.get(start);
    if (text === undefined) {
      const end = this.#replacements.indexOf(0, start);
      if (end < 0) throw new UserError('The tokenizer is damaged: its precompiled_charsmap points past its end.');
      text = this.#replacements.toString('utf8', start, end);
      this.#decoded.set(start, text);
    }
    return text;
  }

  #asciiIsKept(): boolean {
    const root = offset(this.#trie[0]!);
    const child = (node: number, byte: number): number | undefined => {
      const unit = this.#trie[node ^ byte];
      return unit !== undefined && label(unit) === byte ? unit : undefined;
    };
    for (let first = 0x20; first < 0x7f; first++) {
      const unit = child(root, first);
      if (unit === undefined) continue;
      if (hasLeaf(unit)) return false;
      const node = root ^ first ^ offset(unit);
      for (let second = 0x20; second < 0x7f; second++) if (child(node, second) !== undefined) return false;
    }
    return true;
  }
}
