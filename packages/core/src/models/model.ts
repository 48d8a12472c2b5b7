// What training, generation and scoring ask of a language model, whatever its architecture.
import type { Embedding, Linear, Parameters, Tensor } from '@promot/torch';
import type { Blocks } from './blocks.js';
import type { Dropout } from './dropout.js';
import type { LinearPlace } from './linear-place.js';

/** Token ids of the inputs of a batch, not padded. */
export type Ids = readonly number[];

/** One example as token ids. The target ends with the end-of-sequence token; an empty input is legal. */
export interface TokenizedExample {
  readonly input: Ids;
  readonly target: Ids;
  /**
   * Decoder-only models: places of the input (never the first) whose tokens are predicted, too: the answers of
   * exemplars.
   */
  readonly answers?: readonly number[];
}

/** The tokens that `logits` predicts of an example, in its order. */
export function predictedIds({ input, target, answers = [] }: TokenizedExample): Ids {
  return [...answers.map((place) => input[place]!), ...target];
}

export interface ForwardOptions {
  /** Soft prompt [P, E], in front of every input. */
  prompt?: Tensor;
  /** In place of `prompt`: what stands in front of every input, read beforehand. */
  prefix?: Prefix;
  /** Absent: no dropout (evaluation). */
  dropout?: Dropout;
}

/**
 * What stands in front of many inputs (a soft prompt, exemplars), read once by `readPrefix`. Belongs to the model that
 * read it, and holds tensors of its own until `dispose`.
 */
export interface Prefix {
  /** Rows of the prompt and token ids together. */
  readonly length: number;
  /**
   * Of a prefix that was read with gradient: the same values as leaves, and what carries the leaves' gradients on to
   * what the prefix was read from. So many passes share one reading, each with a backward pass of its own.
   */
  detach(): { readonly leaves: Prefix; readonly backward: () => void };
  dispose(): void;
}

/** The facts of a model that the rest of promot asks for, whatever its architecture. */
export interface ModelShape {
  /** Name of the family: config.json's `model_type`. */
  readonly family: string;
  /** Rows of the output layer (V); may exceed what the tokenizer knows. */
  readonly vocabularySize: number;
  /** Width of the embeddings (E). */
  readonly width: number;
  /** Width inside of the feed-forward (F). */
  readonly inner: number;
  /** Query heads of a layer (H). */
  readonly heads: number;
  /** Layers of the encoder (0: there is none) and of the decoder. */
  readonly layers: { readonly encoder: number; readonly decoder: number };
  /** Places that the model was made for; undefined: there is no limit. */
  readonly positions: number | undefined;
  /** The first layer reads rows of `embedding` times this: a soft prompt made of such rows starts so, too. */
  readonly embeddingScale: number;
  /** Ids that end a generated sequence. */
  readonly endOfSequence: readonly number[];
  readonly padding: number;
  /** Encoder-decoder: the id that the decoder reads before the first token of a target. */
  readonly start?: number;
}

/**
 * A language model. Inputs and targets are ragged lists of token ids; padding is the model's own business.
 * Tensors returned belong to the caller's scope.
 */
export interface LanguageModel {
  readonly kind: 'encoder-decoder' | 'decoder-only';
  readonly shape: ModelShape;
  /** Every parameter by its Hugging Face name; a tied head appears once. */
  readonly parameters: Parameters;
  /** Every linear layer but the output, by its Hugging Face name: where low-rank additions can be attached. */
  readonly linears: ReadonlyMap<string, Linear>;
  /** Where each of `linears`, and the head, stands and what it computes. */
  readonly places: ReadonlyMap<string, LinearPlace>;
  /** What is run one after the other. */
  readonly blocks: Blocks;
  /** The output layer, E -> V. */
  readonly head: Linear;
  /** The input embedding table [rows, E]. */
  readonly embedding: Tensor;
  /** What reads it. */
  readonly embed: Embedding;
  /** What equal parameters are made into, as plain data: models that differ in it cannot be mixed. */
  readonly architecture: Readonly<Record<string, unknown>>;
  /** config.json for a Hugging Face folder that gives these very logits. */
  config(): Record<string, unknown>;
  /**
   * Logits [N, V] before each of the N predicted tokens of the batch (`predictedIds`: the target's, as a rule), example
   * after example, and nowhere else. Encoder-decoder: the prompt stands before the encoder's embedded input.
   * Decoder-only: before the whole sequence.
   */
  logits(batch: readonly TokenizedExample[], options?: ForwardOptions): Tensor;
  /** What the output layer makes these logits of [N, E]. */
  states(batch: readonly TokenizedExample[], options?: ForwardOptions): Tensor;
  /** The output layer, with what scales or caps it: states [N, E] -> logits [N, V]. */
  toLogits(states: Tensor): Tensor;
  /** Reads the inputs (B of them) once and is then asked for one token after the other. Call inside `noGrad`. */
  startDecoding(inputs: readonly Ids[], options?: { prompt?: Tensor; prefix?: Prefix }): Decoding;
  /**
   * Reads the prompt's rows and `ids` once, for inputs that all begin with them; those are then given without.
   * Undefined where the model cannot share them. Absent: encoder-decoders, whose inputs are read as a whole. Outside of
   * `noGrad` the reading can be gone back through (`Prefix.detach`).
   */
  readPrefix?(ids: Ids, prompt?: Tensor, dropout?: Dropout): Prefix | undefined;
}

/**
 * Cached generation for B inputs with K rows (beams) each: row b * K + k is beam k of input b. K is 1 until `reorder`
 * changes it. Holds tensors of its own until `dispose`; never frees the caller's.
 */
export interface Decoding {
  /** Logits [B, V] before the first generated token. Call once, first. */
  first(): Tensor;
  /** Logits [B * K, V] after feeding each row's newest token. */
  next(tokens: readonly number[]): Tensor;
  /**
   * New rows: row i goes on from old row `rows[i]`. Inputs may be left out (finished) and K may change; `inputs` lists
   * the old numbers of the inputs that stay, in order, and `rows.length` is a multiple of `inputs.length`.
   */
  reorder(rows: readonly number[], inputs: readonly number[]): void;
  /** Back to where `first` left it: one row for every input. Only while no input has left. */
  rewind(): void;
  dispose(): void;
}
