// A PEFT adapter folder: adapter_config.json and adapter_model.safetensors (or .bin), checked.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { UserError } from '../base/errors.js';
import { type JsonObject, readJsonObject } from '../base/json.js';
import { type Checkpoint, openWeightFile } from '../models/checkpoint.js';

export function adapterPaths(folder: string): { readonly config: string; readonly weights: string } {
  return { config: join(folder, 'adapter_config.json'), weights: join(folder, 'adapter_model.safetensors') };
}

/** PEFT's names for what the two kinds of models do. */
export const taskTypes = { 'encoder-decoder': 'SEQ_2_SEQ_LM', 'decoder-only': 'CAUSAL_LM' } as const;

/**
 * Reads and checks the configuration. Throws UserError where it is missing, not JSON, of another kind or for the other
 * kind of model, a key is wrong, or one that `schema` does not know is not empty: it might change the numbers.
 */
export function readAdapterConfig<T extends z.ZodType>(
  folder: string,
  kind: string,
  model: keyof typeof taskTypes,
  schema: T,
): z.infer<T> {
  const { config } = adapterPaths(folder);
  const found = adapterKind(folder);
  if (found !== kind) {
    const expected = ['PROMPT_TUNING', 'LORA'].includes(found) ? kind : 'PROMPT_TUNING or LORA';
    throw new UserError(`${config}: peft_type is ${found}; expected ${expected}`);
  }
  const content = readContent(folder);
  const other = Object.entries(taskTypes).find(([of, type]) => of !== model && type === content.task_type);
  if (other) throw new UserError(`${config}: task_type is ${other[1]}, which is not for ${model} models`);
  // An unknown key at null, false or empty asks for nothing.
  const asked = Object.entries(content).filter(([key, value]) => !withoutEffect.has(key) && !isEmpty(value));
  const parsed = schema.safeParse(Object.fromEntries(asked));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  if (issue.code === 'unrecognized_keys') {
    const [key] = issue.keys as [string];
    throw new UserError(
      `${config}: ${key} is ${short(content[key])}, which promot does not know: the adapter would work otherwise ` +
        'than trained',
    );
  }
  throw new UserError(`${config}: ${issue.path.join('.')}: ${issue.message}`);
}

/** Keys of every adapter that change no number: bookkeeping, and what only training looks at. */
const withoutEffect = new Set([
  'auto_mapping',
  'base_model_name_or_path',
  'inference_mode',
  'peft_type',
  'peft_version',
  'revision',
  'task_type',
]);

function isEmpty(value: unknown): boolean {
  return value === null || value === false || (typeof value === 'object' && Object.keys(value as object).length === 0);
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function readContent(folder: string): JsonObject {
  const content = readJsonObject(folder, 'adapter_config.json');
  if (!content) throw new UserError(`${folder}: no PEFT adapter there (adapter_config.json is missing)`);
  return content;
}

/** What kind of adapter a folder holds (`PROMPT_TUNING`, `LORA`, ...). Throws UserError where it holds none. */
export function adapterKind(folder: string): string {
  return String(readContent(folder).peft_type);
}

/**
 * Opens the weights: safetensors, or a .bin file, which is read without running anything. Throws UserError for damage.
 */
export function openAdapterWeights(folder: string): Checkpoint & { readonly path: string } {
  for (const name of ['adapter_model.safetensors', 'adapter_model.bin']) {
    const path = join(folder, name);
    if (existsSync(path)) return { ...openWeightFile(path), path };
  }
  throw new UserError(`${folder}: adapter_model.safetensors (or adapter_model.bin) is missing`);
}
