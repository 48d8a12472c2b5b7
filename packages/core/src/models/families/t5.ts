// T5 v1.0, T5.1.1, FLAN-T5 and ByT5 (t5); mT5 (mt5).
import { z } from 'zod';
import { T5, t5Config } from '../t5/t5.js';
import { checkIds, parseConfig } from './config-keys.js';
import type { Family } from './family.js';

/** Keys that Transformers derives from others. */
const derived = {
  is_encoder_decoder: z.unknown().optional(),
  is_gated_act: z.unknown().optional(),
  dense_act_fn: z.unknown().optional(),
  n_positions: z.unknown().optional(),
};

function t5Family(name: 't5' | 'mt5', architecture: string): Family {
  return {
    name,
    architecture,
    build(raw, weights, place) {
      const config = parseConfig(t5Config.extend(derived), raw, place);
      checkIds(config, ['pad_token_id', 'decoder_start_token_id', 'eos_token_id'], place);
      return new T5(config, weights);
    },
  };
}

export const t5 = t5Family('t5', 'T5ForConditionalGeneration');
export const mt5 = t5Family('mt5', 'MT5ForConditionalGeneration');
