// PEFT prompt-tuning adapters: a folder with adapter_config.json and adapter_model.safetensors that PEFT reads and writes.
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FileFormatError, noGrad, openSafetensors, scope, type Tensor, writeSafetensors } from '@promot/torch';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { writeText } from '../files/write.js';
import type { LanguageModel } from '../models/model.js';

const configFile = 'adapter_config.json';
const weightsFile = 'adapter_model.safetensors';
const weightsName = 'prompt_embeddings';

const adapterConfig = z.looseObject({
  peft_type: z.string(),
  num_virtual_tokens: z.int().positive(),
  token_dim: z.int().positive().nullish(),
});

/** True where a folder looks like a PEFT adapter. */
export function isAdapter(folder: string): boolean {
  return existsSync(join(folder, configFile));
}

/**
 * The prompt [P, E] of an adapter folder, float32. Of an encoder-decoder adapter that holds two sets of rows only the first
 * `num_virtual_tokens` are used, as PEFT does. Throws UserError for anything that is not a prompt-tuning adapter of this width.
 */
export function readPromptAdapter(folder: string, model: LanguageModel): Tensor {
  const path = join(folder, configFile);
  if (!existsSync(path)) throw new UserError(`${folder}: no PEFT adapter there (${configFile} is missing)`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new UserError(`${path}: not JSON`);
  }
  const parsed = adapterConfig.safeParse(json);
  if (!parsed.success) throw new UserError(`${path}: ${z.prettifyError(parsed.error).split('\n').join(' ')}`);
  const { peft_type: type, num_virtual_tokens: rows } = parsed.data;
  if (type !== 'PROMPT_TUNING')
    throw new UserError(`${path}: peft_type is ${type}; only PROMPT_TUNING adapters are soft prompts`);
  const weights = join(folder, weightsFile);
  if (!existsSync(weights)) throw new UserError(`${folder}: ${weightsFile} is missing`);
  try {
    return scope(() => {
      const file = openSafetensors(weights);
      const all = file.tensor(weightsName);
      const [held, width] = all.shape;
      if (all.dim !== 2 || held! < rows)
        throw new UserError(`${weights}: ${weightsName} has shape [${all.shape}], ${configFile} promises ${rows} rows`);
      if (width !== model.shape.width)
        throw new UserError(
          `${folder}: the prompt is ${width} wide, the model ${model.shape.width}: it was trained for another model`,
        );
      const prompt = all.narrow(0, 0, rows).float().clone();
      file.close();
      return prompt;
    });
  } catch (error) {
    throw error instanceof FileFormatError ? new UserError(error.message) : error;
  }
}

/** Writes a prompt [P, E] as an adapter folder that PEFT loads with identical logits. */
export async function writePromptAdapter(
  folder: string,
  prompt: Tensor,
  model: LanguageModel,
  baseModel = '',
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const seq2seq = model.kind === 'encoder-decoder';
  noGrad(() =>
    scope(() =>
      writeSafetensors(join(folder, weightsFile), new Map([[weightsName, prompt.float()]]), { format: 'pt' }),
    ),
  );
  const { num_attention_heads, num_heads, num_hidden_layers, num_layers } = model.config() as Record<
    string,
    number | undefined
  >;
  await writeText(
    join(folder, configFile),
    `${JSON.stringify(
      {
        peft_type: 'PROMPT_TUNING',
        task_type: seq2seq ? 'SEQ_2_SEQ_LM' : 'CAUSAL_LM',
        base_model_name_or_path: baseModel,
        inference_mode: true,
        num_virtual_tokens: prompt.size(0),
        token_dim: model.shape.width,
        // One set of rows, in front of the encoder (or the only stack).
        num_transformer_submodules: 1,
        num_attention_heads: num_attention_heads ?? num_heads,
        num_layers: num_hidden_layers ?? num_layers,
        prompt_tuning_init: 'RANDOM',
        prompt_tuning_init_text: null,
        tokenizer_name_or_path: null,
        revision: null,
      },
      null,
      2,
    )}\n`,
  );
}
