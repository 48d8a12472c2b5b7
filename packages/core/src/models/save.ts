// A model back to a Hugging Face folder: weights, configuration, and what the folder that it came from had besides.
import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type DType, type LazyTensor, noGrad, scope, type Tensor, writeSafetensors } from '@promot/torch';
import { replaceFile, writeText } from '../base/write.js';
import { cardText, type ModelCard } from './card.js';
import type { LoadedModel } from './load.js';

export interface SaveOptions {
  /** What the weights are rounded to; as they are where it is absent. */
  readonly dtype?: DType | undefined;
  /** What README.md says; no README.md without it. */
  readonly card?: ModelCard | undefined;
}

/**
 * Writes a folder that Transformers loads with identical logits: config.json, model.safetensors, the tokenizer's files,
 * and of the folder that the model came from generation_config.json, chat templates and licence, byte for byte. Every
 * file is whole at any time; a folder that was there is overwritten file by file.
 *
 * @example await saveModel('models/tuned', loaded);
 */
export async function saveModel(
  folder: string,
  { model, tokenizer, kept }: Pick<LoadedModel, 'model' | 'tokenizer' | 'kept'>,
  { dtype, card }: SaveOptions = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const [first] = model.parameters.values();
  const stored = dtype ?? first!.dtype;
  noGrad(() =>
    scope(() => {
      const rounded = [...model.parameters].map(([name, parameter]) => {
        const divided = model.blocks.divided?.get(parameter);
        if (!divided) return [name, parameter.to(stored)] as const;
        return [name, { dtype: stored, shape: divided.shape, read: () => divided.read().to(stored) }] as const;
      });
      writeSafetensors(join(folder, 'model.safetensors'), new Map<string, Tensor | LazyTensor>(rounded), {
        format: 'pt',
      });
    }),
  );
  await writeText(join(folder, 'config.json'), configText({ ...model.config(), dtype: stored }));
  for (const [name, content] of [...(kept?.files ?? []), ...tokenizer.files()]) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    replaceFile(join(folder, name), (write) => write(Buffer.from(content)));
  }
  if (card) await writeText(join(folder, 'README.md'), cardText(card, kept?.license));
}

/** What the other ranks do while one of them saves a divided model: they give their parts, in order. */
export function giveParts({ model }: Pick<LoadedModel, 'model'>): void {
  for (const parameter of model.parameters.values()) scope(() => model.blocks.divided?.get(parameter)?.read());
}

/** As `saveModel`, whole or not at all, in a folder that is not there yet. */
export async function saveNewModel(folder: string, loaded: LoadedModel, options: SaveOptions = {}): Promise<void> {
  const temporary = `${resolve(folder)}.${process.pid}.tmp`;
  await mkdir(dirname(temporary), { recursive: true });
  try {
    await saveModel(temporary, loaded, options);
    await rename(temporary, folder);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
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
