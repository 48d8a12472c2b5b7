// The configuration of a PEFT LoRA adapter: what each key asks for, with PEFT 0.21's meaning; any other key is an
// error.
import { runInNewContext } from 'node:vm';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import type { LanguageModel } from '../models/model.js';
import { adapterPaths, readAdapterConfig } from './adapter-folder.js';

const names = z.union([z.string(), z.array(z.string())]);
/** Finite in float32, too. */
const alpha = z.number().min(-1e9).max(1e9);
const indices = z.array(z.int().nonnegative());

/** Starts that leave the model's own weights as they are. */
const plainStarts = ['gaussian', 'orthogonal', 'eva', 'true', 'false'];

const schema = z.strictObject({
  r: z.int().positive().default(8),
  lora_alpha: alpha.default(8),
  use_rslora: z.boolean().nullish(),
  rank_pattern: z.record(z.string(), z.int().positive()).nullish(),
  alpha_pattern: z.record(z.string(), alpha).nullish(),
  target_modules: names.nullish(),
  exclude_modules: names.nullish(),
  layers_to_transform: z.union([z.int(), z.array(z.int())]).nullish(),
  layers_pattern: names.nullish(),
  use_dora: z.boolean().nullish(),
  lora_bias: z.boolean().nullish(),
  bias: z.enum(['none', 'all', 'lora_only']).default('none'),
  modules_to_save: z.array(z.string()).nullish(),
  trainable_token_indices: z.union([indices, z.record(z.string(), indices)]).nullish(),
  ensure_weight_tying: z.boolean().nullish(),
  init_lora_weights: z.union([z.boolean(), z.string()]).default(true),
  // These change nothing once an adapter is trained.
  lora_dropout: z.number().nullish(),
  eva_config: z.unknown().optional(),
  runtime_config: z.unknown().optional(),
  megatron_core: z.string().nullish(),
  qalora_group_size: z.int().nullish(),
});

/** A LoRA adapter's configuration, with what it means for a layer. */
export interface LoraSettings extends z.infer<typeof schema> {
  /** For messages. */
  readonly path: string;
  /** How the weights under the adapter differ from the model's: by what the adapter started from. */
  readonly residual: 'none' | 'pissa' | 'olora';
  /** The rank of a layer's addition, and what it is multiplied by. */
  rankOf(layer: string): number;
  scaleOf(layer: string): number;
  /** Whether the adapter adds to a module of this name. */
  isTarget(module: string): boolean;
  /** Whether a module is saved as a whole. */
  isSaved(module: string): boolean;
}

/** Reads a LoRA adapter's configuration. Throws UserError for a key that promot does not know or cannot follow. */
export function readLoraConfig(folder: string, model: LanguageModel): LoraSettings {
  const config = readAdapterConfig(folder, 'LORA', model.kind, schema);
  const { config: path } = adapterPaths(folder);
  const start = String(config.init_lora_weights).toLowerCase();
  // pissa_niter_N draws random numbers anew whenever PEFT loads it, so nobody can say what weights it was trained on.
  const residual = start === 'pissa' ? 'pissa' : start === 'olora' ? 'olora' : 'none';
  if (residual === 'none' && !plainStarts.includes(start))
    throw new UserError(
      `${path}: init_lora_weights is "${start}", which changes the model's own weights in a way that the adapter ` +
        'does not hold: save it converted to plain LoRA (save_pretrained with ' +
        'path_initial_model_for_weight_conversion)',
    );
  if (config.use_dora && config.lora_bias) throw new UserError(`${path}: lora_bias with use_dora is not supported`);
  const matches = matcher(path);
  const first = (patterns: Readonly<Record<string, number>> | null | undefined, layer: string) => {
    const key = Object.keys(patterns ?? {}).find((pattern) => matches(`^(?:.*\\.)?(?:${pattern})$`, layer));
    return key === undefined ? undefined : patterns![key];
  };
  const rankOf = (layer: string) => first(config.rank_pattern, layer) ?? config.r;
  const named = (what: string | readonly string[], module: string) =>
    typeof what === 'string'
      ? matches(`^(?:${what})$`, module)
      : what.some((name) => module === name || module.endsWith(`.${name}`));
  // PEFT takes every module whose name ends so, in the middle of a word, too, with all that is in it.
  const isSaved = (module: string) =>
    (config.modules_to_save ?? []).some((name) =>
      [...module.matchAll(/\.|$/g)].some(({ index }) => module.slice(0, index).endsWith(name)),
    );
  return {
    ...config,
    path,
    residual,
    rankOf,
    scaleOf(layer) {
      const alpha = first(config.alpha_pattern, layer) ?? config.lora_alpha;
      return alpha / (config.use_rslora ? Math.sqrt(rankOf(layer)) : rankOf(layer));
    },
    isSaved,
    isTarget(module) {
      const { target_modules: targets, exclude_modules: excluded, layers_to_transform: layers } = config;
      if (excluded && named(excluded, module)) return false;
      if (isSaved(module) || targets === null || targets === undefined) return false;
      if (targets === 'all-linear') return model.linears.has(module);
      if (!named(targets, module)) return false;
      if (typeof targets === 'string' || layers === null || layers === undefined || [layers].flat().length === 0)
        return true;
      const patterns = [config.layers_pattern ?? []].flat();
      const starts = patterns.length === 0 ? ['^.*?\\.[^.]*'] : patterns.map((pattern) => `^(?:.*?\\.)?(?:${pattern})`);
      const found = starts.map((pattern) => matches(`${pattern}\\.(\\d+)\\.`, module)).find(Boolean);
      return Boolean(found && [layers].flat().includes(Number(found)));
    },
  };
}

/**
 * Tests patterns out of a file, which may be made to run for ever: each gets a second. Gives the first group's text,
 * the whole match's without groups, or undefined.
 */
function matcher(path: string): (pattern: string, text: string) => string | undefined {
  return (pattern, text) => {
    // Python's (?P<name>...) is JavaScript's (?<name>...).
    const source = pattern.replaceAll('(?P<', '(?<');
    try {
      const found = runInNewContext('new RegExp(source).exec(text)', { source, text }, { timeout: 1000 });
      return found === null ? undefined : (found[1] ?? found[0]);
    } catch (error) {
      const isSlow = (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
      throw new UserError(
        `${path}: the pattern ${JSON.stringify(pattern)} ${isSlow ? 'takes too long' : 'is no regular expression'}`,
        { cause: error },
      );
    }
  };
}
