// What a decoder-only model is, as data: everything in which the families differ. models/families makes one of
// config.json.

/** How rotary frequencies change for sequences longer than those that the model was trained on. */
export type RotaryScaling =
  | { readonly kind: 'default' }
  /** All frequencies are divided by `factor`. */
  | { readonly kind: 'linear'; readonly factor: number }
  /** Llama 3.1: long waves are stretched, short ones stay, and between the two the change is gradual. */
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly low: number;
      readonly high: number;
      readonly original: number;
    }
  /** NTK (bloc97, emozilla): the base grows with every token beyond `positions`. */
  | { readonly kind: 'dynamic'; readonly factor: number; readonly positions: number }
  /** YaRN (Peng et al. 2023). `attention` multiplies cosines and sines. */
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly original: number;
      readonly fast: number;
      readonly slow: number;
      readonly truncate: boolean;
      readonly attention: number;
    }
  /** LongRoPE (Ding et al. 2024): a divisor for each frequency, other ones for sequences longer than `original`. */
  | {
      readonly kind: 'longrope';
      readonly short: readonly number[];
      readonly long: readonly number[];
      readonly original: number;
      readonly attention: number;
    };

/** Rotary positions of a layer. */
export interface RotarySpec {
  readonly base: number;
  /** How many of a head's numbers are turned, from the first; the rest stays as it is. */
  readonly width: number;
  /** Which two numbers make a plane: i and i + width / 2 (halves), or 2i and 2i + 1 (pairs). */
  readonly planes: 'halves' | 'pairs';
  readonly scaling: RotaryScaling;
}

/** In what the layers of one model may differ. */
export interface LayerSpec {
  /** How far back attention looks, in places, its own included; Infinity: to the start. */
  readonly window: number;
  /** Absent: the layer knows no positions. */
  readonly rotary?: RotarySpec | undefined;
}

/** A decoder-only model. Names of parameters follow from it as Transformers has them. */
export interface DecoderSpec {
  readonly vocabularySize: number;
  /** Width of the embeddings (E). */
  readonly width: number;
  /** Width inside of the feed-forward (F). */
  readonly inner: number;
  /** Query heads (H). */
  readonly heads: number;
  /** Key and value heads (G), each shared by H / G query heads. */
  readonly keyHeads: number;
  readonly headWidth: number;
  readonly layers: readonly LayerSpec[];
  /** Places that the model was made for. */
  readonly positions: number | undefined;

  /** Where attention and feed-forward are normed: what they read, what they give, or both. */
  readonly norms: 'before' | 'after' | 'both';
  readonly normEpsilon: number;
  /** The norm multiplies by this plus its weight. */
  readonly normOffset: 0 | 1;
  /** Norm on queries and keys: of each head, or of all heads as one vector. */
  readonly queryKeyNorm: 'none' | 'head' | 'projection';
  readonly activation: 'silu' | 'gelu-tanh';
  readonly biases: {
    /** Of query, key and value. */
    readonly input: boolean;
    /** Of attention's output. */
    readonly output: boolean;
    readonly feedForward: boolean;
  };
  /** Query, key and value are one matrix, and so are gate and up. */
  readonly fused: boolean;

  /** Scores are multiplied by this: D^-0.5, as a rule. */
  readonly scoreScale: number;
  /** Scores s become cap * tanh(s / cap). */
  readonly scoreCap?: number | undefined;
  /** As `scoreCap`, for logits. */
  readonly logitCap?: number | undefined;
  /** Rows of the embedding are multiplied by this; a soft prompt's rows are not. */
  readonly embeddingScale: number;
  /** What the first layer reads, soft prompt included, is multiplied by this. */
  readonly inputScale: number;
  /** What attention and feed-forward add is multiplied by this. */
  readonly residualScale: number;
  /** Logits are multiplied by this. */
  readonly logitScale: number;

  /** The output layer is the embedding, where the checkpoint has none that differs. */
  readonly tied: boolean;
  /** Standard deviation of random weights. */
  readonly initialDeviation: number;
  readonly endOfSequence: readonly number[];
  readonly padding: number;
}
