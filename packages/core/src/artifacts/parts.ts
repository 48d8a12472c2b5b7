// The tensors of a checkpoint in one file, NAME.safetensors, or in one file of each rank,
// NAME-00001-of-00004.safetensors, with the rows that the rank holds. The metadata of such a file says at which row
// they begin, in the way of torch.distributed.checkpoint, whose HuggingFaceStorageReader reads these files.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  cat,
  type DType,
  noGrad,
  openSafetensors,
  type SafetensorsFile,
  type Tensor,
  writeSafetensors,
} from '@promot/torch';
import { parseBoundedJson } from '@promot/torch/files';
import { z } from 'zod';
import { UserError } from '../base/errors.js';

const shardingKey = 'DCP_SHARDING_INFO';
const shardingInfo = z.record(z.string(), z.object({ saved_offsets: z.array(z.int().nonnegative()) }));

/** Rows of a tensor; all of it where `begin` is 0 and there are no others. */
export interface Rows {
  readonly rows: Tensor;
  /** The number of the first. */
  readonly begin: number;
}

/** A tensor of a checkpoint, not yet read. */
export interface PartedTensor {
  readonly dtype: DType;
  /** Of the whole. */
  readonly shape: readonly number[];
  /** The whole, in the scope of the caller, over the file's own pages where it lies in one piece. */
  read(): Tensor;
  /** `count` rows from `begin` on. */
  rows(begin: number, count: number): Tensor;
}

/** What a rank calls its file. */
export function partName(name: string, rank: number, ranks: number): string {
  const digits = (n: number) => String(n).padStart(5, '0');
  return `${name}-${digits(rank + 1)}-of-${digits(ranks)}.safetensors`;
}

/** The files of a checkpoint that hold `name`: one, or one of each rank; none where there are none. */
export function partsIn(folder: string, name: string): string[] {
  const all = readdirSync(folder);
  const one = `${name}.safetensors`;
  if (all.includes(one)) return [one];
  return all
    .filter((file) => file.startsWith(`${name}-`) && /^-\d{5}-of-\d{5}\.safetensors$/.test(file.slice(name.length)))
    .sort();
}

/**
 * Writes a rank's file.
 * @param hash see `writeSafetensors`
 */
export function writePart(
  path: string,
  tensors: ReadonlyMap<string, Rows>,
  hash: { update(bytes: Uint8Array): unknown },
): void {
  const offsets = [...tensors].map(([name, { rows, begin }]) => {
    return [name, { saved_offsets: rows.shape.map((_, i) => (i === 0 ? begin : 0)) }] as const;
  });
  const metadata = { format: 'pt', DCP_VERSION: '1.0', [shardingKey]: JSON.stringify(Object.fromEntries(offsets)) };
  const held = new Map([...tensors].map(([name, { rows }]) => [name, rows]));
  noGrad(() => writeSafetensors(path, held, metadata, hash));
}

/** Tensors in one file or several; mapped, so that reading rows reads no others. */
export class Parts {
  readonly #files: readonly SafetensorsFile[];
  readonly tensors: ReadonlyMap<string, PartedTensor>;

  /** Errors: a UserError where files are missing or do not fit together. */
  constructor(folder: string, name: string) {
    const names = partsIn(folder, name);
    const wanted = Number(names[0]?.match(/-of-(\d{5})\.safetensors$/)?.[1] ?? 1);
    if (names.length !== wanted)
      throw new UserError(`${join(folder, name)}: ${names.length} of ${wanted} files are there`, {
        code: 'damaged-file',
      });
    const files: SafetensorsFile[] = [];
    this.#files = files;
    try {
      for (const file of names) files.push(openSafetensors(join(folder, file)));
      this.tensors = joined(files);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Lets go of the files; tensors already given stay valid. */
  close(): void {
    for (const file of this.#files) file.close();
  }
}

interface Piece {
  readonly file: SafetensorsFile;
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly begin: number;
}

function joined(files: readonly SafetensorsFile[]): Map<string, PartedTensor> {
  const pieces = new Map<string, Piece[]>();
  for (const file of files) {
    const offsets = offsetsIn(file);
    for (const [name, { shape, dtype }] of file.entries) {
      const [begin = 0, ...others] = offsets?.get(name) ?? shape.map(() => 0);
      const isRows =
        offsets === undefined || (offsets.get(name)?.length === shape.length && others.every((n) => n === 0));
      if (!isRows)
        throw new UserError(`${file.path}: ${name} is no piece of rows (${shardingKey})`, { code: 'damaged-file' });
      pieces.set(name, [...(pieces.get(name) ?? []), { file, shape, dtype, begin }]);
    }
  }
  return new Map([...pieces].map(([name, found]) => [name, parted(name, found)]));
}

function offsetsIn({ path, metadata }: SafetensorsFile): Map<string, readonly number[]> | undefined {
  const text = metadata[shardingKey];
  if (text === undefined) return undefined;
  try {
    const info = shardingInfo.parse(parseBoundedJson(text));
    return new Map(Object.entries(info).map(([name, one]) => [name, one.saved_offsets]));
  } catch (error) {
    throw new UserError(`${path}: its ${shardingKey} cannot be read`, { code: 'damaged-file', cause: error });
  }
}

function parted(name: string, found: readonly Piece[]): PartedTensor {
  const pieces = found.toSorted((a, b) => a.begin - b.begin);
  const [{ file: first, shape: firstShape, dtype }] = pieces as [Piece, ...Piece[]];
  let count = 0;
  for (const { file, shape, dtype: other, begin } of pieces) {
    if (begin !== count || other !== dtype || shape.slice(1).join() !== firstShape.slice(1).join())
      throw new UserError(`${file.path}: its rows of ${name} do not go on where those of ${first.path} end`, {
        code: 'damaged-file',
      });
    count += shape[0] ?? 0;
  }
  const [only] = pieces;
  const rows = (begin: number, wanted: number) => {
    const slices = pieces.flatMap(({ file, begin: at, shape }) => {
      const [from, to] = [Math.max(begin, at), Math.min(begin + wanted, at + shape[0]!)];
      return to > from ? [file.tensor(name).narrow(0, from - at, to - from)] : [];
    });
    if (slices.length === 0) return pieces[0]!.file.tensor(name).narrow(0, 0, 0);
    return slices.length === 1 ? slices[0]! : cat(slices);
  };
  const shape = firstShape.length === 0 ? [] : [count, ...firstShape.slice(1)];
  return { dtype, shape, rows, read: () => (pieces.length === 1 ? only!.file.tensor(name) : rows(0, count)) };
}
