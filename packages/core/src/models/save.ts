// A model back to a Hugging Face folder: weights, configuration, and what the folder that it came from had besides.
import { readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type DType, distributed, type LazyTensor, noGrad, scope, writeSafetensors } from '@promot/torch';
import { isAlive } from '@promot/torch/files';
import { grouped } from '../base/group.js';
import { makeFolder, replaceFile, writeText } from '../base/write.js';
import { cardText, type ModelCard } from './card.js';
import type { LoadedModel } from './load.js';
import { storedName } from './tensor-names.js';

export interface SaveOptions {
  /** What the weights are rounded to; as they are where it is absent. */
  readonly dtype?: DType | undefined;
  /** What README.md says; no README.md without it. */
  readonly card?: ModelCard | undefined;
}

/**
 * Writes a folder that Transformers loads with identical logits: config.json, model.safetensors, the tokenizer's files,
 * and of the folder that the model came from generation_config.json, chat templates and licence, byte for byte. Every
 * file is whole at any time; a folder that was there is overwritten file by file. All ranks must call it for a model
 * that is divided: each writes a file of whole tensors, and rank 0 their index and the rest.
 *
 * @example await saveModel('models/tuned', loaded);
 */
export async function saveModel(
  folder: string,
  { model, tokenizer, kept }: Pick<LoadedModel, 'model' | 'tokenizer' | 'kept'>,
  { dtype, card }: SaveOptions = {},
): Promise<void> {
  makeFolder(folder);
  const [first] = model.parameters.values();
  const stored = dtype ?? first!.dtype;
  const { divided } = model.blocks;
  const rounded = [...model.parameters].map(([name, parameter]) => {
    const { shape = parameter.shape } = divided?.get(parameter) ?? {};
    return [storedName(name), { dtype: stored, shape, read: () => model.blocks.values(parameter).to(stored) }] as const;
  });
  const files = divided ? divideFiles(rounded) : new Map([['model.safetensors', rounded]]);
  const write = () => {
    for (const [i, [name, tensors]] of [...files].entries())
      if (!divided || i === distributed.getRank())
        writeSafetensors(join(folder, name), new Map(tensors), { format: 'pt' });
      // The others give their rows of what one writes.
      else for (const [, tensor] of tensors) scope(() => tensor.read());
  };
  noGrad(write);
  if (divided) await distributed.monitoredBarrier(longestWriteSeconds);
  if (divided && distributed.getRank() !== 0) return;
  await replaceWeights(folder, files);
  await writeText(join(folder, 'config.json'), configText(withDtype({ ...model.config(), dtype: stored }, stored)));
  for (const [name, content] of [...(kept?.files ?? []), ...tokenizer.files()]) {
    makeFolder(dirname(join(folder, name)));
    replaceFile(join(folder, name), (write) => write(Buffer.from(content)));
  }
  if (card) await writeText(join(folder, 'README.md'), cardText(card, kept?.license));
}

const longestWriteSeconds = 3600;

type Named = readonly (readonly [name: string, tensor: LazyTensor])[];

/**
 * The tensors of a divided model as files of about as many bytes, the first of rank 0, and so on. A tensor is whole in
 * its file.
 */
function divideFiles(tensors: Named): Map<string, Named> {
  const ranks = distributed.getWorldSize();
  const numbers = tensors.map(([, { shape }]) => shape.reduce((product, side) => product * side, 1));
  const total = numbers.reduce((sum, n) => sum + n, 0);
  let before = 0;
  const places = numbers.map((n) => {
    const place = Math.min(ranks - 1, Math.floor(((before + n / 2) / total) * ranks));
    before += n;
    return place;
  });
  const groups = [...grouped([...tensors.keys()], (i) => places[i]!).values()];
  const digits = (n: number) => String(n).padStart(5, '0');
  const nameOf = (i: number) => (groups.length === 1 ? 'model' : `model-${digits(i + 1)}-of-${digits(groups.length)}`);
  return new Map(groups.map((own, i) => [`${nameOf(i)}.safetensors`, own.map((n) => tensors[n]!)]));
}

/** The files just written become the folder's weights: an index where there are several, and what was there goes. */
async function replaceWeights(folder: string, files: ReadonlyMap<string, Named>): Promise<void> {
  const index = 'model.safetensors.index.json';
  if (files.size > 1) {
    const all = [...files].flatMap(([file, tensors]) => tensors.map(([name, tensor]) => ({ file, name, tensor })));
    const bytes = ({ dtype, shape }: LazyTensor) => shape.reduce((a, b) => a * b, dtype === 'float32' ? 4 : 2);
    const content = {
      metadata: { total_size: all.reduce((sum, { tensor }) => sum + bytes(tensor), 0) },
      weight_map: Object.fromEntries(all.map(({ name, file }) => [name, file])),
    };
    await writeText(join(folder, index), `${JSON.stringify(content, null, 2)}\n`);
  } else await rm(join(folder, index), { force: true });
  for (const name of await readdir(folder))
    if (/^model(-\d{5}-of-\d{5})?\.safetensors$/.test(name) && !files.has(name)) await rm(join(folder, name));
}

/**
 * As `saveModel`, whole or not at all, in a folder that is not there yet. What a process of this machine that was
 * killed left beside it goes.
 */
export async function saveNewModel(folder: string, loaded: LoadedModel, options: SaveOptions = {}): Promise<void> {
  const start = `${resolve(folder)}.${hostname()}-`;
  const temporary = `${start}${process.pid}.tmp`;
  makeFolder(dirname(temporary));
  for (const name of await readdir(dirname(temporary))) {
    const path = join(dirname(temporary), name);
    const pid = path.startsWith(start) ? /^\d+(?=\.tmp$)/u.exec(path.slice(start.length))?.[0] : undefined;
    if (pid !== undefined && !isAlive(Number(pid))) await rm(path, { recursive: true, force: true });
  }
  try {
    await saveModel(temporary, loaded, options);
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/** A configuration of parts (T5Gemma 2) says it for each of them, and Transformers makes each as it says. */
function withDtype(config: Record<string, unknown>, dtype: DType): Record<string, unknown> {
  const isPart = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(config).map(([key, value]) => {
    if (key === 'dtype') return [key, dtype];
    return [key, isPart(value) ? withDtype(value, dtype) : value];
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
}

/** Keys whose values Transformers wants as Python floats: it refuses `"initializer_factor": 1`. */
const floatKeys = [
  'initializer_factor',
  'initializer_range',
  'layer_norm_epsilon',
  'rms_norm_eps',
  'dropout_rate',
  'classifier_dropout',
  'attention_dropout',
  'rope_theta',
  'final_logit_softcapping',
  'attn_logit_softcapping',
  'factor',
  'low_freq_factor',
  'high_freq_factor',
  'attention_factor',
  'partial_rotary_factor',
  'beta_fast',
  'beta_slow',
];

/** config.json, with a fraction on every number that is a float; JavaScript itself writes 1.0 as 1. */
function configText(config: Record<string, unknown>): string {
  const whole = new RegExp(`^( *"(?:${floatKeys.join('|')})": -?\\d+)(,?)$`, 'gm');
  return `${JSON.stringify(config, null, 2).replace(whole, '$1.0$2')}\n`;
}
