// How llama.cpp stores a family: its name, and what its converter (convert_hf_to_gguf.py) did to config.json and
// weights.
import type { GgufValue } from '../../formats/gguf.js';

/** What a table reads of a GGUF file. */
interface GgufFacts {
  /** The value of `ARCHITECTURE.key`. */
  get(key: string): GgufValue | undefined;
  /** As `get`, a positive number. Throws UserError where it is none and there is no fallback. */
  number(key: string, fallback?: number): number;
  /** Whether the file has a tensor of this name. */
  has(tensor: string): boolean;
  /** The keys of config.json that all families have. */
  readonly config: GgufConfig;
}

/** The keys of config.json that follow from the metadata of every architecture. */
export interface GgufConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly rope_scaling: Readonly<Record<string, unknown>> | null;
  readonly tie_word_embeddings: boolean;
}

export interface GgufTable {
  /** `general.architecture` */
  readonly architecture: string;
  /** Where several families share the architecture: whether a file is of this one. */
  matches?(facts: Pick<GgufFacts, 'get' | 'has'>): boolean;
  /** Whether `rope.dimension_count` may be less than a head, whose size is then the width over the heads. */
  readonly turnsPartOfHead?: boolean;
  /** Whether rows of query and key stand in another order: neighbouring pairs in place of halves. */
  readonly permutesRotary?: boolean;
  /** Whether the weights of norms are stored with 1 added. */
  readonly normsAreOneMore?: boolean;
  /** Keys of config.json beside the common ones, or in their place (undefined takes one out). */
  config?(facts: GgufFacts): Readonly<Record<string, unknown>>;
  /** Of models that are no decoders: in place of all that decoders share. */
  readonly own?: {
    /** What config.json says beside family and token ids. */
    config(facts: Omit<GgufFacts, 'config'>): Readonly<Record<string, unknown>>;
    /** Transformers' name of a tensor; undefined for one that the family lacks. */
    tensorName(name: string, facts: Pick<GgufFacts, 'has'>): string | undefined;
  };
}

/**
 * `layer_types` of a file that says which layers have the window: for each of them, or by a number n, of which every
 * n-th has none.
 */
export function layerTypesOf({ get, config }: Pick<GgufFacts, 'get' | 'config'>): { layer_types?: readonly string[] } {
  const pattern = get('attention.sliding_window_pattern');
  const nameOf = (has: unknown) => (has ? 'sliding_attention' : 'full_attention');
  if (Array.isArray(pattern)) return { layer_types: pattern.map(nameOf) };
  if (typeof pattern !== 'number') return {};
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => i);
  return { layer_types: layers.map((i) => nameOf(pattern === 0 || i % pattern < pattern - 1)) };
}
