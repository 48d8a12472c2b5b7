// The weight files of a Hugging Face folder: one file or the shards that an index lists.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';

/** The files of a checkpoint, all in one format. */
export interface CheckpointFiles {
  format: 'safetensors' | 'pytorch';
  /** Sorted; every file exists. */
  paths: string[];
}

/** What folders hold, the preferred first. */
const KNOWN = [
  { name: 'model.safetensors', format: 'safetensors', isIndex: false },
  { name: 'model.safetensors.index.json', format: 'safetensors', isIndex: true },
  { name: 'pytorch_model.bin', format: 'pytorch', isIndex: false },
  { name: 'pytorch_model.bin.index.json', format: 'pytorch', isIndex: true },
] as const;

/**
 * Finds a folder's weights: safetensors before pytorch_model.bin, a single file before shards.
 * Throws a UserError where there are none, where a shard is missing and where the index names a file outside the folder.
 */
export function checkpointFiles(folder: string): CheckpointFiles {
  for (const { name, format, isIndex } of KNOWN) {
    const path = join(folder, name);
    if (existsSync(path)) return { format, paths: isIndex ? shards(folder, path) : [path] };
  }
  throw new UserError(
    `${folder} has no weights: model.safetensors or pytorch_model.bin, or the index of their shards, is needed.`,
  );
}

function shards(folder: string, indexPath: string): string[] {
  let map: unknown;
  try {
    map = (JSON.parse(readFileSync(indexPath, 'utf8')) as { weight_map?: unknown } | null)?.weight_map;
  } catch (error) {
    throw new UserError(`${indexPath} cannot be read: ${(error as Error).message}`);
  }
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new UserError(`${indexPath} has no "weight_map".`);
  }
  const names = [...new Set(Object.values(map))].sort();
  if (names.length === 0) throw new UserError(`${indexPath} lists no shards.`);
  return names.map((name) => {
    if (typeof name !== 'string' || name === '' || /[/\\\0]/.test(name) || name === '.' || name === '..') {
      throw new UserError(`${indexPath} names ${JSON.stringify(name)}, which is no file of this folder.`);
    }
    const path = join(folder, name);
    if (!existsSync(path)) throw new UserError(`${path} is missing, though ${indexPath} lists it. Fetch it.`);
    return path;
  });
}
