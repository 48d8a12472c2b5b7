// What a model or a soft prompt is, as a hash of its files: equal fingerprints give equal answers. Loads no weights.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isRun, readRun } from '../artifacts/run-file.js';
import type { HubOptions } from '../hub/settings.js';
import { locateModel } from './locate.js';
import { adapterFolderOf } from './open.js';

/** Of a run folder, what is the model that it made. */
const partsOfTheModel = ['lora', 'model'];
/** Weights, configuration, tokenizer, chat template. */
const modelFile = /\.(json|jinja|safetensors|bin|model|gguf|txt)$/u;

/**
 * SHA-256 (hex) of a model's weights, configuration and tokenizer, by what a person calls it (see `openModel`).
 * Errors: those of `locateModel`.
 */
export async function fingerprintModel(name: string, hub?: HubOptions): Promise<string> {
  const hash = createHash('sha256');
  const path = await locateModel(name, hub);
  if (statSync(path).isFile()) await addFile(hash, '', path);
  else if (!isRun(path)) await addFolder(hash, '', path);
  else {
    const parts = partsOfTheModel.filter((part) => existsSync(join(path, part)));
    // A run without a whole model stands for its base and what it added.
    if (!parts.includes('model')) hash.update(await fingerprintModel(readRun(path).model, hub));
    for (const part of parts) await addFolder(hash, part, join(path, part));
  }
  return hash.digest('hex');
}

/** SHA-256 (hex) of a soft prompt or LoRA, by its adapter folder or run folder. Errors: those of `adapterFolderOf`. */
export async function fingerprintPrompt(path: string): Promise<string> {
  const hash = createHash('sha256');
  await addFolder(hash, '', adapterFolderOf(path));
  return hash.digest('hex');
}

async function addFolder(hash: Hash, name: string, folder: string): Promise<void> {
  for (const file of readdirSync(folder).sort()) {
    const path = join(folder, file);
    // Follows links: the hub's cache is made of them.
    if (modelFile.test(file) && statSync(path).isFile()) await addFile(hash, `${name}/${file}`, path);
  }
}

async function addFile(hash: Hash, name: string, path: string): Promise<void> {
  hash.update(JSON.stringify([name, statSync(path).size]));
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part as Buffer);
}
