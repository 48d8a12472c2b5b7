// config.json's keys of rotary positions, old and new, as a layer's RotarySpec.
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import type { RotaryScaling, RotarySpec } from '../decoder/spec.js';
import { checkKeys } from './config-keys.js';

/** config.json's `rope_scaling` or `rope_parameters`. */
export const rotaryKeys = z.looseObject({
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  rope_theta: z.number().positive().nullish(),
  partial_rotary_factor: z.number().positive().max(1).nullish(),
  factor: z.number().positive().nullish(),
  low_freq_factor: z.number().positive().nullish(),
  high_freq_factor: z.number().positive().nullish(),
  original_max_position_embeddings: z.number().positive().nullish(),
  attention_factor: z.number().nonnegative().nullish(),
  beta_fast: z.number().positive().nullish(),
  beta_slow: z.number().positive().nullish(),
  mscale: z.number().nonnegative().nullish(),
  mscale_all_dim: z.number().nonnegative().nullish(),
  truncate: z.boolean().nullish(),
  short_factor: z.array(z.number().positive()).nullish(),
  long_factor: z.array(z.number().positive()).nullish(),
});
export type RotaryKeys = z.infer<typeof rotaryKeys>;

/** What the keys are read against. */
interface RotaryFacts {
  readonly headWidth: number;
  /** max_position_embeddings */
  readonly positions: number | undefined;
  readonly base: number;
  readonly planes?: RotarySpec['planes'];
  /** Whether a part of the head may go without (only some families have it). */
  readonly partial?: boolean;
  readonly place: string;
}

/**
 * The rotary positions that the keys describe. Throws UserError for a kind that promot lacks or a key that is missing.
 */
export function rotaryOf(keys: RotaryKeys, facts: RotaryFacts): RotarySpec {
  const { headWidth, planes = 'halves', place } = facts;
  checkKeys(keys, Object.keys(rotaryKeys.shape), place, 'rope_parameters.');
  const share = keys.partial_rotary_factor ?? 1;
  if (share !== 1 && !facts.partial)
    throw new UserError(`${place}: partial_rotary_factor is ${share}; models of this family turn whole heads`);
  const width = Math.trunc(headWidth * share);
  if (width % 2 !== 0 || width === 0)
    throw new UserError(`${place}: rotary positions turn pairs of numbers, and a head has ${width} of them`);
  const base = keys.rope_theta ?? facts.base;
  return { base, width, planes, scaling: scalingOf(keys, width, facts) };
}

function scalingOf(keys: RotaryKeys, width: number, { positions, place }: RotaryFacts): RotaryScaling {
  const kind = keys.rope_type ?? keys.type ?? 'default';
  const need = <T>(value: T | null | undefined, key: string): T => {
    if (value === undefined || value === null) throw new UserError(`${place}: rope scaling "${kind}" needs ${key}`);
    return value;
  };
  const factor = () => need(keys.factor, 'factor');
  const original = () => need(keys.original_max_position_embeddings ?? positions, 'original_max_position_embeddings');
  switch (kind) {
    case 'default':
      return { kind };
    case 'linear':
      return { kind, factor: factor() };
    case 'dynamic':
      return { kind, factor: factor(), positions: need(positions, 'max_position_embeddings') };
    case 'llama3': {
      const [low, high] = [
        need(keys.low_freq_factor, 'low_freq_factor'),
        need(keys.high_freq_factor, 'high_freq_factor'),
      ];
      return { kind, factor: factor(), low, high, original: original() };
    }
    case 'yarn': {
      const { mscale, mscale_all_dim: all } = keys;
      const stretch = (by: number) => (factor() <= 1 ? 1 : 0.1 * by * Math.log(factor()) + 1);
      const attention = keys.attention_factor ?? (mscale && all ? stretch(mscale) / stretch(all) : stretch(1));
      const [fast, slow] = [keys.beta_fast ?? 32, keys.beta_slow ?? 1];
      return { kind, factor: factor(), original: original(), fast, slow, truncate: keys.truncate ?? true, attention };
    }
    case 'longrope': {
      const [short, long] = [need(keys.short_factor, 'short_factor'), need(keys.long_factor, 'long_factor')];
      for (const [key, { length }] of Object.entries({ short_factor: short, long_factor: long }))
        if (length !== width / 2)
          throw new UserError(`${place}: ${key} has ${length} numbers, the rotary positions need ${width / 2}`);
      const by = keys.factor ?? need(positions, 'max_position_embeddings') / original();
      const attention = keys.attention_factor ?? (by <= 1 ? 1 : Math.sqrt(1 + Math.log(by) / Math.log(original())));
      return { kind, short, long, original: original(), attention };
    }
    default:
      throw new UserError(
        `${place}: rope scaling "${kind}" is not supported (known: default, linear, dynamic, llama3, yarn, longrope)`,
      );
  }
}
