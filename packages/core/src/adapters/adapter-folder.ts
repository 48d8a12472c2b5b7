// A PEFT adapter folder: adapter_config.json and adapter_model.safetensors, checked.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileFormatError, openSafetensors, type SafetensorsFile } from '@promot/torch';
import type { z } from 'zod';
import { UserError } from '../base/errors.js';

export function adapterPaths(folder: string): { readonly config: string; readonly weights: string } {
  return { config: join(folder, 'adapter_config.json'), weights: join(folder, 'adapter_model.safetensors') };
}

/** PEFT's names for what the two kinds of models do. */
export const taskTypes = { 'encoder-decoder': 'SEQ_2_SEQ_LM', 'decoder-only': 'CAUSAL_LM' } as const;

/**
 * Reads and checks the configuration. Throws UserError where it is missing, not JSON, of another kind or for the other kind of
 * model, or a key is wrong.
 */
export function readAdapterConfig<T extends z.ZodType>(
  folder: string,
  kind: string,
  model: keyof typeof taskTypes,
  schema: T,
): z.infer<T> {
  const { config } = adapterPaths(folder);
  const found = adapterKind(folder);
  if (found !== kind) throw new UserError(`${config}: peft_type is ${found}; expected ${kind}`);
  const content = JSON.parse(readFileSync(config, 'utf8')) as { task_type?: unknown };
  const other = Object.entries(taskTypes).find(([of, type]) => of !== model && type === content.task_type);
  if (other) throw new UserError(`${config}: task_type is ${other[1]}, which is not for ${model} models`);
  const parsed = schema.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new UserError(`${config}: ${issue.path.join('.')}: ${issue.message}`);
}

/** What kind of adapter a folder holds (`PROMPT_TUNING`, `LORA`, ...). Throws UserError where it holds none. */
export function adapterKind(folder: string): string {
  const { config } = adapterPaths(folder);
  if (!existsSync(config)) throw new UserError(`${folder}: no PEFT adapter there (adapter_config.json is missing)`);
  try {
    return String((JSON.parse(readFileSync(config, 'utf8')) as { peft_type?: unknown } | null)?.peft_type);
  } catch {
    throw new UserError(`${config}: not JSON`);
  }
}

/** Opens the weights. Throws UserError where they are missing, damaged, or whole numbers. */
export function openAdapterWeights(folder: string): SafetensorsFile {
  const { weights } = adapterPaths(folder);
  if (!existsSync(weights)) throw new UserError(`${folder}: adapter_model.safetensors is missing`);
  let file: SafetensorsFile;
  try {
    file = openSafetensors(weights);
  } catch (error) {
    throw error instanceof FileFormatError ? new UserError(error.message) : error;
  }
  const odd = [...file.entries].find(([, { dtype }]) => !dtype.includes('float'));
  if (!odd) return file;
  file.close();
  throw new UserError(`${weights}: ${odd[0]} holds numbers of type ${odd[1].dtype}, not floating-point ones`);
}
