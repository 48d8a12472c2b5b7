// Bytes to text.
import { UserError } from './errors.js';

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * The text of bytes in UTF-8; a byte-order mark at the beginning is dropped.
 * Errors: a UserError (what follows "place: ") for UTF-16 and all else that is not UTF-8.
 */
export function decodeText(bytes: Uint8Array): string {
  const [first, second] = bytes;
  const utf16 = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (!utf16) {
    try {
      const text = utf8.decode(bytes);
      if (!text.includes('\0')) return text;
    } catch (error) {
      throw new UserError('not UTF-8 text: save the file as UTF-8', { code: 'damaged-file', cause: error });
    }
  }
  throw new UserError('not UTF-8 text but UTF-16, it seems: save the file as UTF-8 (Excel: "CSV UTF-8")', {
    code: 'damaged-file',
  });
}
