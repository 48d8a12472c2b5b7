// The weight files of a Hugging Face folder: one file or the shards that an index lists.

import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../base/errors.js';
import { isJsonObject, readJsonObject } from '../base/json.js';

/** The files of a checkpoint, all in one format. */
interface CheckpointFiles {
  format: 'safetensors' | 'pytorch';
  /** Sorted; every file exists. */
  paths: string[];
  /** Of shards: the index, and the path in which it says that each tensor is. */
  index?: { path: string; places: ReadonlyMap<string, string> };
}

/** What folders hold, the preferred first. */
const KNOWN = [
  { name: 'model.safetensors', format: 'safetensors', isIndex: false },
  { name: 'model.safetensors.index.json', format: 'safetensors', isIndex: true },
  { name: 'pytorch_model.bin', format: 'pytorch', isIndex: false },
  { name: 'pytorch_model.bin.index.json', format: 'pytorch', isIndex: true },
] as const;

/**
 * Finds a folder's weights: safetensors before pytorch_model.bin, a single file before shards. Throws a UserError where
 * there are none, where a shard is missing and where the index names a file outside the folder.
 */
export function checkpointFiles(folder: string): CheckpointFiles {
  for (const { name, format, isIndex } of KNOWN) {
    const path = join(folder, name);
    if (existsSync(path)) return isIndex ? { format, ...shards(folder, path) } : { format, paths: [path] };
  }
  throw new UserError(
    `${folder} has no weights: model.safetensors or pytorch_model.bin, or the index of their shards, is needed.`,
  );
}

function shards(folder: string, indexPath: string): Required<Omit<CheckpointFiles, 'format'>> {
  const map = readJsonObject(folder, basename(indexPath))?.weight_map;
  if (!isJsonObject(map)) throw new UserError(`${indexPath} has no "weight_map".`);
  const names = [...new Set(Object.values(map))].sort();
  if (names.length === 0) throw new UserError(`${indexPath} lists no shards.`);
  const paths = names.map((name) => {
    if (typeof name !== 'string' || name === '' || /[/\\\0]/.test(name) || name === '.' || name === '..') {
      throw new UserError(`${indexPath} names ${JSON.stringify(name)}, which is no file of this folder.`);
    }
    const path = join(folder, name);
    if (!existsSync(path)) throw new UserError(`${path} is missing, though ${indexPath} lists it. Fetch it.`);
    return path;
  });
  const places = new Map(Object.entries(map).map(([tensor, name]) => [tensor, join(folder, name as string)]));
  return { paths, index: { path: indexPath, places } };
}
