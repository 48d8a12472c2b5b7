// PEFT prompt-tuning adapters: a folder with adapter_config.json and adapter_model.safetensors that PEFT reads and
// writes.
import { noGrad, scope, type Tensor, writeSafetensors } from '@promot/torch';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { makeFolder, writeText } from '../base/write.js';
import type { LanguageModel } from '../models/model.js';
import { adapterPaths, openAdapterWeights, readAdapterConfig, taskTypes } from './adapter-folder.js';

const weightsName = 'prompt_embeddings';

/** `num_transformer_submodules` above 1 means rows for a decoder, too, which PEFT saves and does not use. */
const promptConfig = z.strictObject({
  num_virtual_tokens: z.int().positive(),
  token_dim: z.int().nullish(),
  num_transformer_submodules: z.int().nullish(),
  num_attention_heads: z.int().nullish(),
  num_layers: z.int().nullish(),
  // How the prompt started.
  prompt_tuning_init: z.string().nullish(),
  prompt_tuning_init_text: z.string().nullish(),
  tokenizer_name_or_path: z.string().nullish(),
  tokenizer_kwargs: z.unknown().optional(),
});

/**
 * The prompt [P, E] of an adapter folder, float32. Of an encoder-decoder adapter that holds two sets of rows only the
 * first `num_virtual_tokens` are used, as PEFT does. Throws UserError for anything that is not a prompt-tuning adapter
 * of this width.
 */
export function readPromptAdapter(folder: string, model: LanguageModel): Tensor {
  const { num_virtual_tokens: rows } = readAdapterConfig(folder, 'PROMPT_TUNING', model.kind, promptConfig);
  const file = openAdapterWeights(folder);
  try {
    const stored = file.tensors.get(weightsName);
    if (!stored) throw new UserError(`${file.path}: it holds no ${weightsName}`);
    const more = [...file.tensors.keys()].find((name) => name !== weightsName);
    if (more !== undefined)
      throw new UserError(`${file.path}: it holds ${more} beside the prompt, which is not supported`);
    const [held, width] = stored.shape;
    if (stored.shape.length !== 2 || held! < rows)
      throw new UserError(
        `${file.path}: ${weightsName} has shape [${stored.shape}], the configuration promises ${rows} rows`,
      );
    if (width !== model.shape.width)
      throw new UserError(
        `${folder}: the prompt is ${width} wide, the model ${model.shape.width}: it was trained for another model`,
      );
    return noGrad(() => scope(() => stored.load().narrow(0, 0, rows).float().clone().toDevice(model.embedding.device)));
  } finally {
    file.close();
  }
}

/** Writes a prompt [P, E] as an adapter folder that PEFT loads with identical logits. */
export async function writePromptAdapter(
  folder: string,
  prompt: Tensor,
  model: LanguageModel,
  baseModel = '',
): Promise<void> {
  makeFolder(folder);
  noGrad(() =>
    scope(() =>
      writeSafetensors(adapterPaths(folder).weights, new Map([[weightsName, prompt.float()]]), { format: 'pt' }),
    ),
  );
  const { heads, layers } = model.shape;
  await writeText(
    adapterPaths(folder).config,
    `${JSON.stringify(
      {
        peft_type: 'PROMPT_TUNING',
        task_type: taskTypes[model.kind],
        base_model_name_or_path: baseModel,
        inference_mode: true,
        num_virtual_tokens: prompt.size(0),
        token_dim: model.shape.width,
        // One set of rows, in front of the encoder (or the only stack).
        num_transformer_submodules: 1,
        num_attention_heads: heads,
        num_layers: layers.encoder || layers.decoder,
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
