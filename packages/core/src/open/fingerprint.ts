// What a model or a soft prompt is, as a hash of its files: equal fingerprints give equal answers. Loads no weights.
import crypto from 'node:crypto';
import { once } from 'node:events';
import fs, { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
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
 * Errors: those of `locateModel`; an AbortError where `signal` ends it.
 */
export async function fingerprintModel(name: string, hub?: HubOptions, signal?: AbortSignal): Promise<string> {
  const path = await locateModel(name, hub);
  if (statSync(path).isFile()) return hashOf(file('', path), signal);
  if (!isRun(path)) return hashOf(folder('', path), signal);
  const parts = partsOfTheModel.filter((part) => existsSync(join(path, part)));
  // A run without a whole model stands for its base and what it added.
  const base = parts.includes('model') ? [] : [await fingerprintModel(readRun(path).model, hub, signal)];
  return hashOf([...base, ...parts.flatMap((part) => folder(part, join(path, part)))], signal);
}

/** SHA-256 (hex) of a soft prompt or LoRA, by its adapter folder or run folder. Errors: those of `adapterFolderOf`. */
export async function fingerprintPrompt(path: string): Promise<string> {
  return hashOf(folder('', adapterFolderOf(path)));
}

/** What is hashed: a text, or the bytes of a file. */
type Part = string | { readonly path: string; readonly size: number };

function folder(name: string, path: string): Part[] {
  return readdirSync(path)
    .sort()
    .flatMap((one) => {
      const inside = join(path, one);
      // Follows links: the hub's cache is made of them.
      return modelFile.test(one) && statSync(inside).isFile() ? file(`${name}/${one}`, inside) : [];
    });
}

function file(name: string, path: string): Part[] {
  const { size } = statSync(path);
  return [JSON.stringify([name, size]), { path, size }];
}

/** More bytes than this are hashed on a thread of their own, while the model is read. */
const fewBytes = 1 << 24;

async function hashOf(parts: readonly Part[], signal?: AbortSignal): Promise<string> {
  const bytes = parts.reduce((sum, part) => sum + (typeof part === 'string' ? 0 : part.size), 0);
  if (bytes <= fewBytes) return hash(parts, crypto, fs);
  const thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
    parentPort.postMessage((${hash})(workerData, require('node:crypto'), require('node:fs')));`,
    // Node.js's own flags are not for it: --input-type=module would make another kind of program of it.
    { eval: true, execArgv: [], workerData: parts },
  );
  try {
    return ((await once(thread, 'message', { signal })) as [string])[0];
  } finally {
    await thread.terminate();
  }
}

/** Its text is the program of the thread: it uses what it is given and nothing else. */
function hash(
  parts: readonly Part[],
  { createHash }: Pick<typeof crypto, 'createHash'>,
  { closeSync, openSync, readSync }: Pick<typeof fs, 'closeSync' | 'openSync' | 'readSync'>,
): string {
  const sum = createHash('sha256');
  const bytes = Buffer.allocUnsafe(1 << 20);
  for (const part of parts) {
    if (typeof part === 'string') {
      sum.update(part);
      continue;
    }
    const file = openSync(part.path, 'r');
    for (let read = readSync(file, bytes); read > 0; read = readSync(file, bytes)) sum.update(bytes.subarray(0, read));
    closeSync(file);
  }
  return sum.digest('hex');
}
