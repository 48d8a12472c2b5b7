// Rotary position embedding, with the scalings of Llama 3.
// Shapes: B batch, L sequence length, D head width.
import { cat, scope, type Tensor, tensor } from '@promot/torch';
import { z } from 'zod';
import { UserError } from '../../base/errors.js';

/** The keys of config.json's rope_scaling or rope_parameters. */
export const ropeConfig = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: z.number().positive().optional(),
});

type Scaling = z.infer<typeof ropeConfig>;

/** What config.json says of rotary positions. */
export interface RopeConfig {
  readonly rope_theta?: number | null | undefined;
  readonly rope_scaling?: Scaling | null | undefined;
  readonly rope_parameters?: Scaling | null | undefined;
}

/** Places in the sequence of every token, row after row (or the same for all rows, with rows = 1). */
export interface Places {
  readonly places: readonly number[];
  readonly rows: number;
  readonly length: number;
}

/** Turns queries or keys [B, heads, L, D] to their places. */
export type Turn = (x: Tensor) => Tensor;

/** Rotary position embedding (Su et al. 2021) in Hugging Face's layout: the halves of a head's width are the two axes of each plane. */
export class Rope {
  readonly #frequencies: number[];

  /** `width` is that of a head. */
  constructor(config: RopeConfig, width: number) {
    // Transformers 5 writes rope_parameters; before it was rope_theta and rope_scaling.
    const scaling = { ...config.rope_scaling, ...config.rope_parameters };
    const theta = scaling.rope_theta ?? config.rope_theta ?? 10_000;
    const plain = Array.from({ length: width / 2 }, (_, i) => theta ** ((-2 * i) / width));
    this.#frequencies = plain.map(scale(scaling));
  }

  at({ places, rows, length }: Places, like: Tensor): Turn {
    const width = this.#frequencies.length;
    const angles = new Float32Array(places.length * width);
    places.forEach((place, i) => {
      for (let j = 0; j < width; j++) angles[i * width + j] = place * this.#frequencies[j]!;
    });
    const half = tensor(angles, { shape: [rows, 1, length, width] });
    const both = cat([half, half], 3);
    const cos = both.cos().to(like.dtype);
    const sin = both.sin().to(like.dtype);
    return (x) =>
      scope(() => {
        const [first, second] = x.split(width, 3) as [Tensor, Tensor];
        return x.mul(cos).add(cat([second.neg(), first], 3).mul(sin));
      });
  }
}

/** How a frequency changes under rope scaling. */
function scale(scaling: Scaling): (frequency: number) => number {
  const kind = scaling.rope_type ?? scaling.type ?? 'default';
  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings') => {
    const value = scaling[key];
    if (value === undefined) throw new UserError(`config.json: rope scaling "${kind}" needs ${key}`);
    return value;
  };
  switch (kind) {
    case 'default':
      return (frequency) => frequency;
    case 'linear': {
      const factor = need('factor');
      return (frequency) => frequency / factor;
    }
    case 'llama3': {
      // Llama 3.1: short wavelengths stay, long ones are stretched, and between the two a linear blend.
      const factor = need('factor');
      const low = need('low_freq_factor');
      const high = need('high_freq_factor');
      const original = need('original_max_position_embeddings');
      return (frequency) => {
        const turns = (original * frequency) / (2 * Math.PI);
        if (turns < low) return frequency / factor;
        if (turns > high) return frequency;
        const share = (turns - low) / (high - low);
        return (1 - share) * (frequency / factor) + share * frequency;
      };
    }
    default:
      throw new UserError(`config.json: rope scaling "${kind}" is not supported (known: default, linear, llama3)`);
  }
}
