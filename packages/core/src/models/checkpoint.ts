// The tensors of a checkpoint folder, whatever its format, by name and not yet read.
import { statSync } from 'node:fs';
import {
  type DType,
  FileFormatError,
  keep,
  mapFile,
  mappedTensor,
  openSafetensors,
  scope,
  type Tensor,
} from '@promot/torch';
import { UserError, unreadable } from '../base/errors.js';
import { refuseLfsPointer } from '../base/git-lfs.js';
import { checkpointFiles } from '../formats/checkpoint-files.js';
import { readPytorchBin } from '../formats/pytorch-bin.js';
import { dtypeSizes } from '../formats/stored-tensor.js';
import { conventionalNames } from './tensor-names.js';

/** One tensor of a checkpoint: its shape is known, `load` reads it (over the file's own pages where it can). */
export interface CheckpointTensor {
  readonly shape: readonly number[];
  load(): Tensor;
  /** Whether what `load` gives is in memory of its own, and no other's pages. Default false. */
  readonly isOwn?: boolean;
}

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Lets go of the files; tensors already read stay valid. */
  close(): void;
}

/**
 * Opens the weights of a Hugging Face folder. Throws UserError where there are none or a file is damaged; reading a
 * tensor throws one where it does not hold floating-point numbers.
 */
export function openCheckpoint(folder: string): Checkpoint {
  const { paths, index } = checkpointFiles(folder);
  const tensors = new Map<string, CheckpointTensor>();
  const files: Checkpoint[] = [];
  const close = () => {
    for (const file of files) file.close();
  };
  try {
    for (const path of paths) {
      const file = openWeightFile(path);
      files.push(file);
      for (const [name, stored] of file.tensors) {
        const place = index?.places.get(name);
        if (tensors.has(name))
          throw new UserError(`${path}: ${name} is in another shard, too`, { code: 'damaged-file' });
        if (index && place !== path)
          throw new UserError(
            `${path}: it holds ${name}, which ${index.path} ${place ? `says is in ${place}` : 'does not list'}`,
          );
        tensors.set(name, stored);
      }
    }
    const lost = [...(index?.places ?? [])].find(([name]) => !tensors.has(name));
    if (lost) throw new UserError(`${lost[1]}: it has no tensor ${lost[0]}, though ${index!.path} says so`);
  } catch (error) {
    close();
    throw error;
  }
  return { tensors: new Map(conventionalNames(tensors, folder)), close };
}

/**
 * Opens one file of weights, safetensors or what torch.save writes, by the end of its name. Errors as `openCheckpoint`.
 */
export function openWeightFile(path: string): Checkpoint {
  const tensors = new Map<string, CheckpointTensor>();
  const close = addFile(path, tensors);
  return { tensors, close };
}

function addFile(path: string, tensors: Map<string, CheckpointTensor>): () => void {
  refuseLfsPointer(path);
  return path.endsWith('.safetensors') ? addSafetensors(path, tensors) : addPytorch(path, tensors);
}

function addSafetensors(path: string, tensors: Map<string, CheckpointTensor>): () => void {
  try {
    const file = openSafetensors(path);
    for (const [name, { dtype, shape }] of file.entries)
      tensors.set(name, {
        shape,
        load: () => {
          checkType(path, name, dtype);
          return file.tensor(name);
        },
      });
    return () => file.close();
  } catch (error) {
    if (error instanceof FileFormatError) throw new UserError(error.message, { code: 'damaged-file', cause: error });
    throw unreadable(path, error);
  }
}

/** Weights of whole numbers are quantized by some scheme of their own, and mean nothing as they stand. */
function checkType(path: string, name: string, dtype: DType): void {
  if (!/float/.test(dtype))
    throw new UserError(
      `${path}: ${name} holds ${dtype}: quantized weights are not supported; take the original model`,
    );
}

function addPytorch(path: string, tensors: Map<string, CheckpointTensor>): () => void {
  let bytes: Tensor | undefined;
  for (const stored of readPytorchBin(path)) {
    const { name, dtype, shape, strides, byteOffset, byteLength } = stored;
    const load = () =>
      scope(() => {
        checkType(path, name, dtype);
        bytes ??= keep(mapFile(path, statSync(path).size));
        // The elements in the order of the storage, then the tensor's own strides over them.
        const flat = mappedTensor(bytes, {
          dtype,
          shape: [byteLength / dtypeSizes[dtype]],
          offset: byteOffset,
          bytes: byteLength,
        });
        return flat.asStrided(shape, strides).contiguous();
      });
    tensors.set(name, { shape, load });
  }
  return () => bytes?.dispose();
}
