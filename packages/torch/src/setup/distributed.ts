// What of c10d (process groups) the addon can be compiled with: Gloo, if libtorch holds it, and NCCL, if its header
// lies beside libtorch.
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { exists } from '../files/exists.js';
import { type Libtorch, libraryName } from './locate.js';

/** The name of Gloo's process group as compilers write it: where libtorch was built without c10d it is missing. */
const GLOO = 'N4c10d16ProcessGroupGlooE';

/**
 * What NCCL's header needs: with CUDA 13 the second and third are in packages of their own, `nvidia-cuda-crt` and
 * `nvidia-cuda-cccl`, which PyTorch does not ask for.
 */
const NCCL_HEADERS = ['nccl.h', 'crt/host_config.h', 'nv/target'];

export interface DistributedParts {
  readonly gloo: boolean;
  readonly nccl: boolean;
  /** Of a libtorch with CUDA: headers that NCCL would need and that were not found. */
  readonly missing: readonly string[];
  /** For compiling the addon. */
  readonly defines: readonly string[];
  readonly folders: readonly string[];
}

/**
 * What there is for the addon's `distributed.cc`: its defines, and folders with the headers that it then includes
 * (CUDA's come from the `nvidia-*` packages that pip puts beside PyTorch).
 */
export async function distributedParts(libtorch: Libtorch): Promise<DistributedParts> {
  const header = join(libtorch.root, 'include', 'torch', 'csrc', 'distributed', 'c10d', 'ProcessGroupGloo.hpp');
  const library = join(libtorch.root, 'lib', libraryName('torch_cpu'));
  const gloo = (await exists(header)) && (await contains(library, GLOO));
  const folders = gloo && libtorch.cuda ? await headersBeside(libtorch.root) : [];
  const has = await Promise.all(NCCL_HEADERS.map((file) => anyHas(folders, file)));
  const missing = libtorch.cuda ? NCCL_HEADERS.filter((_, i) => !has[i]) : [];
  const nccl = gloo && libtorch.cuda && missing.length === 0;
  const defines = [...(gloo ? ['-DPROMOT_GLOO'] : []), ...(nccl ? ['-DPROMOT_NCCL'] : [])];
  return { gloo, nccl, missing, defines, folders: nccl ? folders : [] };
}

/** `site-packages/nvidia/<package>/include`. */
async function headersBeside(root: string): Promise<string[]> {
  const nvidia = join(dirname(root), 'nvidia');
  const names = (await readdir(nvidia).catch(() => [])).sort();
  const folders: string[] = [];
  for (const name of names)
    if (await exists(join(nvidia, name, 'include'))) folders.push(join(nvidia, name, 'include'));
  return folders;
}

async function anyHas(folders: readonly string[], file: string): Promise<boolean> {
  for (const folder of folders) if (await exists(join(folder, file))) return true;
  return false;
}

/** Whether a large file has a text in it, read piece by piece. */
async function contains(path: string, text: string): Promise<boolean> {
  let tail = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 22 })) {
    const piece = Buffer.concat([tail, chunk as Buffer]);
    if (piece.includes(text)) return true;
    tail = piece.subarray(-text.length);
  }
  return false;
}
