// Writes small zip archives for tests, hostile ones included: no name is checked, and CRC and mode can be set wrong.
import { crc32 } from 'node:zlib';

/** A file to put in; everything is stored uncompressed. */
export interface ZipFile {
  name: string;
  data: string | Buffer;
  /** The CRC-32 to claim instead of the true one. */
  crc?: number;
  /** Unix mode, file type included. */
  mode?: number;
}

/** The bytes of a zip archive of these files. */
export function zip(files: ZipFile[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const file of files) {
    const data = Buffer.from(file.data);
    const name = Buffer.from(file.name);
    const crc = file.crc ?? crc32(data);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt32LE(crc, 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, name, data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(((file.mode ?? 0o100644) << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    // "Made by" Unix, version 2.0; then the same fields as in front of the data.
    directory.push(Buffer.from('PK\x01\x02\x14\x03', 'latin1'), common, rest, name);
    parts.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(central.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, central, Buffer.from('PK\x05\x06'), end]);
}
