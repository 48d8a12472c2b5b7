// The directory of a zip archive whose entries are stored uncompressed, as torch.save writes it (APPNOTE.TXT, zip64
// too).

import { UserError } from '../base/errors.js';
import type { FileReader } from './reader.js';

/** Where an entry's content lies in the archive. */
export interface ZipEntry {
  start: number;
  length: number;
}

const END_OF_DIRECTORY = 0x06054b50;
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_END = 0x06064b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_ENTRY = 0x04034b50;
const IN_ZIP64 = 0xffffffff;
/** A hundred bytes for each tensor. */
const LARGEST_DIRECTORY = 2 ** 26;

/** True for a file that begins as zip archives do. */
export function isZip(file: FileReader): boolean {
  return file.size >= 4 && file.read(0, 4).readUInt32LE() === LOCAL_ENTRY;
}

/**
 * The archive's entries by name. Only the directory and the entries' headers are read.
 * Throws a UserError for a damaged archive, a compressed or encrypted entry and a name that occurs twice.
 */
export function readZipDirectory(file: FileReader): Map<string, ZipEntry> {
  const directory = findDirectory(file);
  if (directory.length > LARGEST_DIRECTORY) throw damaged(file, 'its directory');
  const places: { name: string; header: number; end: number; slack: number }[] = [];
  const bytes = file.read(directory.start, directory.length);
  const entries = new Map<string, ZipEntry>();
  let at = 0;
  for (let i = 0; i < directory.count; i++) {
    if (at + 46 > bytes.length || bytes.readUInt32LE(at) !== DIRECTORY_ENTRY) throw damaged(file, 'its directory');
    const nameLength = bytes.readUInt16LE(at + 28);
    const extraLength = bytes.readUInt16LE(at + 30);
    const end = at + 46 + nameLength + extraLength + bytes.readUInt16LE(at + 32);
    if (end > bytes.length) throw damaged(file, 'its directory');
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    if ((bytes.readUInt16LE(at + 8) & 1) !== 0 || bytes.readUInt16LE(at + 10) !== 0) {
      throw new UserError(`${file.path}: the entry "${name}" is compressed or encrypted, which torch.save never does.`);
    }
    const extra = bytes.subarray(at + 46 + nameLength, at + 46 + nameLength + extraLength);
    const wide = zip64Fields(file, extra, [
      bytes.readUInt32LE(at + 24),
      bytes.readUInt32LE(at + 20),
      bytes.readUInt32LE(at + 42),
    ]);
    const [length, storedLength, header] = wide as [number, number, number];
    if (length !== storedLength) throw damaged(file, `the entry "${name}"`);
    if (entries.has(name))
      throw new UserError(`${file.path} is damaged: it holds "${name}" twice.`, { code: 'damaged-file' });
    const local = file.read(header, 30);
    if (local.readUInt32LE(0) !== LOCAL_ENTRY) throw damaged(file, `the entry "${name}"`);
    const start = header + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
    if (start + length > file.size) throw damaged(file, `the entry "${name}"`);
    entries.set(name, { start, length });
    // A size that was not known beforehand may stand once more behind the data.
    const slack = (bytes.readUInt16LE(at + 8) & 8) === 0 ? 0 : 24;
    places.push({ name, header, end: start + length, slack });
    at = end;
  }
  if (at < bytes.length) throw damaged(file, 'its directory');
  checkLayout(file, places, directory.start);
  return entries;
}

/** Entries lie one behind the other from the file's start to the directory. */
function checkLayout(
  file: FileReader,
  places: { name: string; header: number; end: number; slack: number }[],
  directoryStart: number,
): void {
  let [at, slack] = [0, 0];
  for (const { name, header, end, slack: own } of [...places].sort((a, b) => a.header - b.header)) {
    if (header < at || header > at + slack) throw damaged(file, `what stands in front of the entry "${name}"`);
    [at, slack] = [end, own];
  }
  if (directoryStart < at || directoryStart > at + slack) throw damaged(file, 'what stands in front of its directory');
}

function findDirectory(file: FileReader): { start: number; length: number; count: number } {
  // The end record is the file's last 22 bytes, but for a comment of up to 65,535 bytes.
  const tailStart = Math.max(0, file.size - 22 - 0xffff);
  const tail = file.read(tailStart, file.size - tailStart);
  let at = tail.length - 22;
  while (at >= 0 && tail.readUInt32LE(at) !== END_OF_DIRECTORY) at--;
  if (at < 0) {
    throw new UserError(`${file.path} is damaged or cut short: the end of the archive is missing. Fetch it again.`, {
      code: 'damaged-file',
    });
  }
  const endAt = tailStart + at;
  if (endAt + 22 + tail.readUInt16LE(at + 20) !== file.size) throw damaged(file, 'what stands at its end');
  const end = {
    start: tail.readUInt32LE(at + 16),
    length: tail.readUInt32LE(at + 12),
    count: tail.readUInt16LE(at + 10),
  };
  let before = endAt;
  const locatorAt = endAt - 20;
  const locator = locatorAt >= 0 ? file.read(locatorAt, 20) : undefined;
  if (locator?.readUInt32LE(0) === ZIP64_LOCATOR) {
    before = toNumber(file, locator.readBigUInt64LE(8));
    const record = file.read(before, 56);
    if (before + 56 !== locatorAt) throw damaged(file, 'its directory');
    if (record.readUInt32LE(0) !== ZIP64_END) throw damaged(file, 'its directory');
    end.count = toNumber(file, record.readBigUInt64LE(32));
    end.length = toNumber(file, record.readBigUInt64LE(40));
    end.start = toNumber(file, record.readBigUInt64LE(48));
  }
  if (end.start + end.length !== before || end.count * 46 > end.length) throw damaged(file, 'its directory');
  return end;
}

/** Replaces each 0xffffffff by its 64-bit value out of the zip64 extra field, where they stand in this order. */
function zip64Fields(file: FileReader, extra: Buffer, fields: number[]): number[] {
  if (!fields.includes(IN_ZIP64)) return fields;
  for (let at = 0; at + 4 <= extra.length; ) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) {
      let next = at + 4;
      return fields.map((field) => {
        if (field !== IN_ZIP64) return field;
        if (next + 8 > Math.min(at + 4 + length, extra.length)) throw damaged(file, 'its directory');
        next += 8;
        return toNumber(file, extra.readBigUInt64LE(next - 8));
      });
    }
    at += 4 + length;
  }
  throw damaged(file, 'its directory');
}

function toNumber(file: FileReader, value: bigint): number {
  if (value > BigInt(file.size)) throw damaged(file, 'its directory');
  return Number(value);
}

function damaged(file: FileReader, part: string): UserError {
  return new UserError(`${file.path} is damaged or cut short: ${part} does not fit the file. Fetch it again.`, {
    code: 'damaged-file',
  });
}
