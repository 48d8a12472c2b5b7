// Rotary position embedding (Su et al. 2021) and its scalings.
// Shapes: B batch, L sequence length, D head width.
import { cat, type Tensor, tensor } from '@promot/torch';
import { UserError } from '../../base/errors.js';
import type { RotaryScaling, RotarySpec } from './spec.js';

/** Places in the sequence of every token, row after row (or the same for all rows, with rows = 1). */
export interface Places {
  readonly places: readonly number[];
  readonly rows: number;
  readonly length: number;
  /** Places of the whole sequence that these belong to, counted from its start: some scalings depend on it. */
  readonly whole: number;
}

/** What turns queries or keys to their places: see `rotate`. */
export interface Turn {
  /** [rows, 1, L, D or the part that turns] */
  readonly cos: Tensor;
  readonly sin: Tensor;
  readonly planes: RotarySpec['planes'];
}

export class Rope {
  readonly #spec: RotarySpec;
  readonly #plain: readonly number[];

  constructor(spec: RotarySpec) {
    this.#spec = spec;
    const { base, width } = spec;
    this.#plain = Array.from({ length: width / 2 }, (_, i) => base ** ((-2 * i) / width));
  }

  /**
   * The turn for these places. Angles are computed in float64 and rounded once; cosines and sines are of the type of
   * `like`.
   */
  at({ places, rows, length, whole }: Places, like: Tensor): Turn {
    const { scaling, planes } = this.#spec;
    const frequencies = scaled(this.#plain, this.#spec, whole);
    const half = frequencies.length;
    const angles = new Float32Array(places.length * half);
    places.forEach((place, i) => {
      for (let j = 0; j < half; j++) angles[i * half + j] = place * frequencies[j]!;
    });
    const once = tensor(angles, { shape: [rows, 1, length, half] });
    const twice = planes === 'halves' ? cat([once, once], 3) : once.repeatInterleave(2, 3);
    const factor = 'attention' in scaling ? scaling.attention : 1;
    const ready = (t: Tensor) => (factor === 1 ? t : t.mul(factor)).to(like.dtype);
    return { cos: ready(twice.cos()), sin: ready(twice.sin()), planes };
  }

  /**
   * Throws UserError where frequencies at `now` places differ from those at `before`: keys read before are then of no
   * use.
   */
  checkSame(before: number, now: number): void {
    const { scaling } = this.#spec;
    const limit =
      scaling.kind === 'dynamic' ? scaling.positions : scaling.kind === 'longrope' ? scaling.original : Infinity;
    const changes = scaling.kind === 'dynamic' ? now > limit : before <= limit && now > limit;
    if (changes)
      throw new UserError(
        `the sequence grows beyond ${limit} places while an answer is generated; there the model's rotary scaling ` +
          `("${scaling.kind}") changes what was read before: keep input and answer within ${limit} tokens`,
      );
  }
}

/**
 * The frequencies of a sequence of `whole` places under the layer's scaling (modeling_rope_utils.py of Transformers).
 */
function scaled(plain: readonly number[], { base, width, scaling }: RotarySpec, whole: number): readonly number[] {
  switch (scaling.kind) {
    case 'default':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'llama3':
      return plain.map((frequency) => llama3(frequency, scaling));
    case 'dynamic': {
      const { factor, positions } = scaling;
      const growth = (factor * Math.max(whole, positions)) / positions - (factor - 1);
      const larger = base * growth ** (width / (width - 2));
      return plain.map((_, i) => larger ** ((-2 * i) / width));
    }
    case 'yarn':
      return yarn(plain, base, width, scaling);
    case 'longrope': {
      const divisors = whole > scaling.original ? scaling.long : scaling.short;
      return plain.map((frequency, i) => frequency / divisors[i]!);
    }
  }
}

function llama3(
  frequency: number,
  { factor, low, high, original }: Extract<RotaryScaling, { kind: 'llama3' }>,
): number {
  const turns = (original * frequency) / (2 * Math.PI);
  if (turns < low) return frequency / factor;
  if (turns > high) return frequency;
  const share = (turns - low) / (high - low);
  return (1 - share) * (frequency / factor) + share * frequency;
}

function yarn(
  plain: readonly number[],
  base: number,
  width: number,
  { factor, original, fast, slow, truncate }: Extract<RotaryScaling, { kind: 'yarn' }>,
): number[] {
  // Which frequency makes so many turns over the original length.
  const dimension = (turns: number) => (width * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const [from, to] = [dimension(fast), dimension(slow)];
  const low = Math.max(truncate ? Math.floor(from) : from, 0);
  const high = Math.min(truncate ? Math.ceil(to) : to, width - 1);
  return plain.map((frequency, i) => {
    const stretched = Math.min(1, Math.max(0, (i - low) / (high === low ? 0.001 : high - low)));
    return (frequency / factor) * stretched + frequency * (1 - stretched);
  });
}
