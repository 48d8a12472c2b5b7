// Model files that do not match their header, hold too much, or ask for too much: refused by name, before memory is
// taken.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { watchTensors } from '@promot/torch';
import { afterAll, describe, expect, test } from 'vitest';
import { writeRun } from '../src/artifacts/run-file.js';
import { UserError } from '../src/base/errors.js';
import { readGguf } from '../src/formats/gguf.js';
import { readPytorchBin } from '../src/formats/pytorch-bin.js';
import { loadFolder } from '../src/models/load.js';
import { conventionalNames, surplusNames } from '../src/models/tensor-names.js';
import { openModel } from '../src/open/open.js';
import { goldenModel, spoiltCopy } from './small-task.js';

const out = mkdtempSync(join(tmpdir(), 'promot-damaged-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));
const files = fileURLToPath(new URL('../golden/files/', import.meta.url));
let count = 0;
const place = (name = '') => join(out, `${count++}${name}`);

/** A folder in which a file's bytes were changed. */
function damaged(source: string, name: string, change: (bytes: Buffer) => Buffer): string {
  const folder = place();
  cpSync(source, folder, { recursive: true });
  writeFileSync(join(folder, name), change(readFileSync(join(folder, name))));
  return folder;
}

function refused(load: () => unknown, reason: RegExp, where: string): void {
  const left = watchTensors();
  expect(load).toThrow(UserError);
  expect(load).toThrow(reason);
  expect(load).toThrow(where);
  expect(left()).toBe(0);
}

/** A safetensors file whose header was changed; the offsets stay as they are. */
function withHeader(bytes: Buffer, change: (header: Record<string, { data_offsets: number[] }>) => void): Buffer {
  const length = Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
  change(header);
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([start, json, bytes.subarray(8 + length)]);
}

describe('safetensors', () => {
  const source = join(files, 'folders/safetensors');
  const name = 'model.safetensors';
  const refusedWith = (change: (bytes: Buffer) => Buffer, reason: RegExp) => {
    const folder = damaged(source, name, change);
    refused(() => loadFolder(folder, 'float32'), reason, join(folder, name));
  };
  test('bytes behind the last tensor', () => {
    refusedWith((bytes) => Buffer.concat([bytes, Buffer.alloc(3)]), /3 bytes at its end belong to no tensor/);
  });
  test('a byte between header and data', () => {
    refusedWith((bytes) => {
      const end = 8 + Number(bytes.readBigUInt64LE());
      return Buffer.concat([bytes.subarray(0, end), Buffer.alloc(1), bytes.subarray(end)]);
    }, /1 bytes at its end/);
  });
  test('a hole', () => {
    refusedWith(
      (bytes) => withHeader(bytes, (header) => delete header['shared.weight']),
      /bytes (in front of \S+|at its end) belong to no tensor/,
    );
  });
});

describe('shards', () => {
  const source = join(files, 'folders/safetensors-sharded');
  const index = 'model.safetensors.index.json';
  const read = (folder: string) =>
    JSON.parse(readFileSync(join(folder, index), 'utf8')) as { weight_map: Record<string, string> };
  test('a tensor that is in another shard than the index says, in none, or not in the index', () => {
    const { weight_map: map } = read(source);
    const [first] = Object.keys(map);
    const other = Object.values(map).find((shard) => shard !== map[first!])!;
    const change = (changed: Record<string, string>) =>
      damaged(source, index, () => Buffer.from(JSON.stringify({ weight_map: changed })));
    const wrong = change({ ...map, [first!]: other });
    refused(() => loadFolder(wrong, 'float32'), /holds .* says is in/, wrong);
    const { [first!]: _, ...rest } = map;
    const lacking = change(rest);
    refused(() => loadFolder(lacking, 'float32'), /does not list/, lacking);
    const more = change({ ...map, 'a.b': other });
    refused(() => loadFolder(more, 'float32'), /it has no tensor a\.b, though/, more);
  });
  test('a tensor in two shards', () => {
    const [a, b] = [...new Set(Object.values(read(source).weight_map))].sort() as [string, string];
    const folder = damaged(source, b, () => readFileSync(join(source, a)));
    refused(() => loadFolder(folder, 'float32'), /is in another shard, too/, join(folder, b));
  });
});

test.each([
  ['bytes behind its end', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(5)])],
  ['bytes in front', (bytes: Buffer) => Buffer.concat([Buffer.from('PK\x03\x04'), bytes])],
  [
    'a byte in the middle',
    (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 900), Buffer.alloc(1), bytes.subarray(900)]),
  ],
])('a .bin file with %s', (_what, change) => {
  const path = place('.bin');
  writeFileSync(path, change(readFileSync(join(files, 'state.bin'))));
  refused(() => readPytorchBin(path), /is damaged/, path);
});

test('a .bin file whose pickle imports nested tuples', () => {
  // 120 times (x, x), then the tuple as the name of an import: as a text it would have 2^120 letters.
  const pickle = Buffer.concat([
    Buffer.from('\x80\x02X\x01\x00\x00\x00aq\x00', 'latin1'),
    ...Array.from({ length: 120 }, () => Buffer.from('h\x00h\x00\x86q\x00', 'latin1')),
    Buffer.from('h\x00\x93.', 'latin1'),
  ]);
  const path = place('.bin');
  writeFileSync(path, storedZip('archive/data.pkl', pickle));
  refused(() => readPytorchBin(path), /imports what has no name/, path);
});

/** A zip archive of one stored entry (its checksum is nobody's business here). */
function storedZip(name: string, content: Buffer): Buffer {
  const sizes = (at: Buffer, offset: number) => {
    at.writeUInt32LE(content.length, offset);
    at.writeUInt32LE(content.length, offset + 4);
    at.writeUInt16LE(name.length, offset + 8);
  };
  const local = Buffer.alloc(30);
  local.write('PK\x03\x04', 'latin1');
  sizes(local, 18);
  const entry = Buffer.alloc(46);
  entry.write('PK\x01\x02', 'latin1');
  sizes(entry, 20);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + name.length, 12);
  end.writeUInt32LE(30 + name.length + content.length, 16);
  return Buffer.concat([local, Buffer.from(name), content, entry, Buffer.from(name), end]);
}

describe('GGUF', () => {
  const whole = readFileSync(join(files, 'types.gguf'));
  test('bytes behind the last tensor, and a byte in the middle', () => {
    const path = place('.gguf');
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(32)]));
    refused(() => readGguf(path), /belong to no tensor/, path);
    const inserted = place('.gguf');
    writeFileSync(inserted, Buffer.concat([whole.subarray(0, 20_000), Buffer.alloc(1), whole.subarray(20_000)]));
    refused(() => readGguf(inserted), /is damaged/, inserted);
  });
  test('a sparse file that is one array of two billion', () => {
    const path = place('.gguf');
    const head = Buffer.alloc(24 + 8 + 1 + 4 + 4 + 8);
    head.write('GGUF');
    head.writeUInt32LE(3, 4);
    head.writeBigUInt64LE(1n, 16);
    head.writeBigUInt64LE(1n, 24);
    head.write('a', 32);
    head.writeUInt32LE(9, 33);
    head.writeUInt32LE(7, 37);
    head.writeBigUInt64LE(2n ** 31n, 41);
    writeFileSync(path, head);
    truncateSync(path, 2 ** 32);
    refused(() => readGguf(path), /it claims 2147483648 entries, and at most/, path);
    rmSync(path);
  });
});

describe('more tensors than the configuration has places for', () => {
  test('are named', () => {
    const folder = spoiltCopy('llama', place());
    const path = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...config, num_hidden_layers: 1 }));
    refused(
      () => loadFolder(folder, 'float32'),
      /the weights hold model\.layers\.1\.\S+, .* and \d+ more, for which/,
      folder,
    );
  });
  test('unless they are known to be harmless', () => {
    const folder = spoiltCopy('llama', place(), 'model.safetensors', (tensors) => {
      const [first] = tensors.values();
      tensors.set('model.layers.0.self_attn.rotary_emb.inv_freq', first!.clone());
    });
    loadFolder(folder, 'float32').dispose();
    expect(
      surplusNames(['a', 'decoder.embed_tokens.weight', 'x.EncDecAttention.relative_attention_bias.weight']),
    ).toEqual(['a']);
  });
});

test('names as torch.compile and data parallel training leave them, and a decoder without its head', () => {
  const of = (...names: string[]) => [...conventionalNames(new Map(names.map((name) => [name, 0])), 'x').keys()];
  expect(of('_orig_mod.model.norm.weight')).toEqual(['model.norm.weight']);
  expect(of('module._orig_mod.shared.weight')).toEqual(['shared.weight']);
  expect(of('layers.0.a', 'norm.weight', 'lm_head.weight')).toEqual([
    'model.layers.0.a',
    'model.norm.weight',
    'lm_head.weight',
  ]);
  expect(of('model.layers.0.a', 'lm_head.weight')).toEqual(['model.layers.0.a', 'lm_head.weight']);
  expect(() => of('a', 'module.a')).toThrow(/x: two of its tensors are a/);
});

test.each([
  ['num_hidden_layers', 2 ** 40],
  ['vocab_size', 1e12],
  ['hidden_size', 1e10],
])('config.json with %s %d', (key, value) => {
  const folder = damaged(goldenModel('llama'), 'config.json', (bytes) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(bytes.toString()), [key]: value })),
  );
  refused(
    () => loadFolder(folder, 'float32'),
    new RegExp(`${key} is ${value}: no model has more`),
    join(folder, 'config.json'),
  );
});

const faults = fileURLToPath(new URL('../../../../shared/faults/', import.meta.url));
describe.skipIf(!existsSync(faults))('small files that hurt, of ../shared (skipped where they are absent)', () => {
  if (!existsSync(faults)) return;
  const overlay = (name: string, model: string, file: string, without: string[]) => {
    const folder = place(name);
    cpSync(goldenModel(model), folder, { recursive: true });
    for (const one of without) rmSync(join(folder, one));
    cpSync(join(faults, name, file), join(folder, file));
    return folder;
  };
  test.each([
    ['bomb', overlay('bomb', 'llama', 'pytorch_model.bin', ['model.safetensors']), /imports what has no name/],
    ['extra', overlay('extra', 't5-v1.0', 'tokenizer_config.json', []), /extra_ids is 200000000/],
  ])('%s is refused', async (_name, folder, reason) => {
    await expect(openModel(folder, 'float32')).rejects.toThrow(reason);
  });
});

test('a run that stands for a model that is not there, or for itself, is named', async () => {
  const folder = place('run');
  const naming = async (model: string) => {
    writeRun(folder, { method: 'prompt-tune', model, tasks: ['rte'] }, {});
    await openModel(folder, 'float32');
  };
  mkdirSync(folder);
  await expect(naming('/no/where')).rejects.toThrow(`${join(folder, 'run.json')}: its model /no/where: no such model`);
  await expect(naming(folder)).rejects.toThrow(/names the run itself/);
});
