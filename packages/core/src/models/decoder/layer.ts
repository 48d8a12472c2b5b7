// A layer of a decoder: attention and feed-forward, each with its norms, added to what came in.
import { inModule, type RMSNorm, scope, type Tensor } from '@promot/torch';
import { type Dropout, maybe } from '../dropout.js';
import type { Weights } from '../weights.js';
import { Attention, type Mask, placesOf } from './attention.js';
import type { Context, KeysAndValues } from './cache.js';
import { FeedForward } from './feed-forward.js';
import type { Turn } from './rope.js';
import type { DecoderSpec } from './spec.js';

/** Names of a layer's norms; one that has no name is not there. */
export interface NormNames {
  readonly attention: { readonly before?: string; readonly after?: string };
  readonly feedForward: { readonly before?: string; readonly after?: string };
}

interface Norms {
  readonly before?: RMSNorm | undefined;
  readonly after?: RMSNorm | undefined;
}

/** Transformers' names of the norms, by where they stand. */
const normNames = {
  before: { attention: { before: 'input_layernorm' }, feedForward: { before: 'post_attention_layernorm' } },
  after: { attention: { after: 'post_attention_layernorm' }, feedForward: { after: 'post_feedforward_layernorm' } },
  both: {
    attention: { before: 'input_layernorm', after: 'post_attention_layernorm' },
    feedForward: { before: 'pre_feedforward_layernorm', after: 'post_feedforward_layernorm' },
  },
} as const satisfies Record<DecoderSpec['norms'], NormNames>;

export class Layer {
  readonly attention: Attention;
  readonly #attentionNorms: Norms;
  readonly #feedForward: FeedForward;
  readonly #feedForwardNorms: Norms;
  readonly #residualScale: number;
  readonly #index: number;

  constructor(
    spec: DecoderSpec,
    weights: Weights,
    name: string,
    place: { readonly stack: 'encoder' | 'decoder'; readonly layer: number },
    names: NormNames = normNames[spec.norms],
  ) {
    this.#index = place.layer;
    this.#residualScale = spec.residualScale;
    const norms = ({ before, after }: { before?: string; after?: string }): Norms => {
      const norm = (of: string | undefined) =>
        of === undefined ? undefined : weights.norm(`${name}.${of}`, spec.width, spec.normEpsilon, spec.normOffset);
      return { before: norm(before), after: norm(after) };
    };
    this.attention = new Attention(spec, weights, `${name}.self_attn`, place);
    this.#feedForward = new FeedForward(spec, weights, `${name}.mlp`, place);
    this.#attentionNorms = norms(names.attention);
    this.#feedForwardNorms = norms(names.feedForward);
  }

  /**
   * x [B, L, E] -> [B, L, E], or only the `wanted` places of all [1, W, E]. Dropout falls on what each half adds (most
   * of these models trained without; the attention weights are left alone).
   */
  forward(
    x: Tensor,
    turn: Turn | undefined,
    mask: Mask,
    dropout: Dropout | undefined,
    context: Context | undefined,
    wanted?: Tensor,
  ): Tensor {
    return scope(() => {
      const attend = (y: Tensor) =>
        inModule('attention', () => this.attention.forward(y, turn, mask, context, this.#index, wanted));
      const y = this.#add(x, attend, this.#attentionNorms, dropout, wanted);
      return this.#add(
        y,
        (z) => inModule('feed-forward', () => this.#feedForward.forward(z)),
        this.#feedForwardNorms,
        dropout,
      );
    });
  }

  /** The keys and values that others see of x [B, L, E]. */
  read(x: Tensor, turn: Turn | undefined): KeysAndValues {
    const { before } = this.#attentionNorms;
    return scope(() => inModule('attention', () => this.attention.read(before ? before.forward(x) : x, turn)));
  }

  #add(
    x: Tensor,
    half: (x: Tensor) => Tensor,
    { before, after }: Norms,
    dropout: Dropout | undefined,
    wanted?: Tensor,
  ): Tensor {
    const given = half(before ? before.forward(x) : x);
    const added = maybe(dropout, after ? after.forward(given) : given);
    return placesOf(x, wanted).add(added, this.#residualScale);
  }
}
