// What a family of models is to the rest of promot: a name in config.json and the way to a model.
import type { LanguageModel } from '../model.js';
import type { Weights } from '../weights.js';
import type { GgufTable } from './gguf-table.js';

/** A family of models that promot loads; `families` (index.ts) lists them. */
export interface Family {
  /** config.json's `model_type`. */
  readonly name: string;
  readonly kind: LanguageModel['kind'];
  /** The class in Transformers, as config.json's `architectures` names it. */
  readonly architecture: string;
  /**
   * The model that a config.json describes. Throws UserError, which begins with `place`, for a key that is missing or
   * wrong, and for one that promot does not know and that may change what the model computes.
   */
  build(config: Readonly<Record<string, unknown>>, weights: Weights, place: string): LanguageModel;
  /** How llama.cpp stores it, where it does. */
  readonly gguf?: GgufTable | undefined;
}
