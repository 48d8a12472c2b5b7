// pytorch_model.bin: finds the tensors of a torch.save archive without loading them and without unpickling objects.

import { UserError } from '../base/errors.js';
import { PickledTensor, readPickle, storageBytes } from './pickle.js';
import { type FileReader, withFile } from './reader.js';
import { dtypeSizes, type StoredTensor } from './stored-tensor.js';
import { isZip, readZipDirectory, type ZipEntry } from './zip.js';

/** Pickles of state dicts hold names and shapes, a few hundred bytes a tensor. */
const GREATEST_PICKLE = 256 * 2 ** 20;

/**
 * The tensors of a state dict that torch.save wrote (its zip format, PyTorch 1.6 and later), in the file's order.
 * Tensors may share a storage (tied weights) and need not be contiguous.
 *
 * Throws a UserError for the older format, for a file that holds other than a dictionary of tensors, for a damaged file
 * and for a pickle that asks for anything but tensors.
 */
export function readPytorchBin(path: string): StoredTensor[] {
  return withFile(path, (file) => {
    if (!isZip(file)) {
      throw new UserError(
        `${path} is not a torch.save archive of PyTorch 1.6 or later. ` +
          'Load it with PyTorch and save it again, best as safetensors.',
      );
    }
    const entries = readZipDirectory(file);
    const pickle = [...entries.keys()].find((name) => /^[^/]*\/data\.pkl$/.test(name));
    if (pickle === undefined) throw new UserError(`${path} is not a torch.save archive: it has no data.pkl.`);
    const folder = pickle.slice(0, -'data.pkl'.length);
    const order = entries.get(`${folder}byteorder`);
    if (order && file.read(order.start, Math.min(order.length, 16)).toString('utf8') !== 'little') {
      throw new UserError(`${path} was written on a big-endian machine; save it again on another.`);
    }
    const { start, length } = entries.get(pickle)!;
    if (length > GREATEST_PICKLE)
      throw new UserError(`${path} is damaged: its data.pkl has ${length} bytes.`, { code: 'damaged-file' });
    const state = readPickle(file.read(start, length), `${path} (${pickle})`);
    if (!(state instanceof Map)) throw new UserError(`${path} holds no dictionary of tensors.`);
    const tensors: StoredTensor[] = [];
    for (const [name, value] of state) {
      if (typeof name !== 'string' || !(value instanceof PickledTensor)) {
        throw new UserError(
          `${path}: ${typeof name === 'string' ? JSON.stringify(name.slice(0, 100)) : 'one of its keys'} is no ` +
            "tensor. Save the model's state dict alone.",
        );
      }
      tensors.push(storedTensor(file, name, value, entries.get(`${folder}data/${value.storage.key}`)));
    }
    return tensors;
  });
}

function storedTensor(
  file: FileReader,
  name: string,
  tensor: PickledTensor,
  entry: ZipEntry | undefined,
): StoredTensor {
  const { storage, offset, shape, strides } = tensor;
  const problem = (what: string) =>
    new UserError(`${file.path} is damaged: ${what} of "${name}".`, { code: 'damaged-file' });
  if (entry === undefined) throw problem('it lacks the data');
  if (entry.length !== storageBytes(storage)) throw problem('another size is written than is there for the data');
  const isEmpty = shape.includes(0);
  const span = isEmpty ? 0 : shape.reduce((last, size, i) => last + (size - 1) * strides[i]!, 1);
  if (!Number.isSafeInteger(span) || offset + span > storage.elements) {
    throw problem('the shape and strides reach past the data');
  }
  // Strides of 0 let a few bytes stand for any number of elements.
  const elements = shape.reduce((product, size) => product * size, 1);
  if (elements > storage.elements) throw problem('the shape has more elements than the data');
  const size = dtypeSizes[storage.dtype];
  return {
    name,
    dtype: storage.dtype,
    shape,
    strides,
    path: file.path,
    byteOffset: entry.start + offset * size,
    byteLength: span * size,
  };
}
