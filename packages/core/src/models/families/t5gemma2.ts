// T5Gemma 2, its text part (the 270M-270M model and larger): two Gemma 3 text configurations, one for each side.
import { z } from 'zod';
import { T5Gemma2 } from '../t5gemma2/t5gemma2.js';
import { parseConfig } from './config-keys.js';
import type { Family } from './family.js';
import { gemma3 } from './gemma3.js';

const side = z.looseObject({});
const keys = z.looseObject({
  encoder: z.looseObject({ text_config: side, eoi_token_index: z.int().nonnegative().default(256_000) }),
  decoder: side,
  decoder_start_token_id: z.int().nonnegative().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  // Of images, which promot does not read, and copies of what the two sides say.
  eoi_token_index: z.unknown().optional(),
  is_encoder_decoder: z.literal(true).nullish(),
  vocab_size: z.unknown().optional(),
});
const architecture = 'T5Gemma2ForConditionalGeneration';

export const t5gemma2: Family = {
  name: 't5gemma2',
  kind: 'encoder-decoder',
  architecture,
  build(raw, weights, place) {
    const config = parseConfig(keys, raw, place);
    const ends = config.eos_token_id;
    const read = (part: Record<string, unknown>, of: string) => {
      const { is_decoder: _, is_encoder_decoder: _both, ...own } = part;
      return gemma3.read(
        { ...own, ...(ends !== undefined && ends !== null && { eos_token_id: ends }) },
        `${place}: ${of}`,
      );
    };
    const encoder = read(config.encoder.text_config, 'encoder.text_config');
    const decoder = read(config.decoder, 'decoder');
    const start = config.decoder_start_token_id ?? (config.decoder.bos_token_id as number | null | undefined) ?? 2;
    const tied = config.tie_word_embeddings ?? true;
    const spec = {
      encoder: encoder.spec,
      decoder: { ...decoder.spec, tied },
      start,
      imageEnd: config.encoder.eoi_token_index,
    };
    return new T5Gemma2(spec, weights, (isTied) => ({
      ...config,
      model_type: 't5gemma2',
      architectures: [architecture],
      decoder_start_token_id: start,
      tie_word_embeddings: isTied,
    }));
  },
};
