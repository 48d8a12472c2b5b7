// The output layer of a model that shares its matrix with the embedding.
import { keep, Linear, noGrad, scope, type Tensor } from '@promot/torch';
import type { LanguageModel } from './model.js';

const NAME = 'lm_head.weight';

/** Whether the output layer's matrix is the embedding's. */
export function isTied(model: LanguageModel): boolean {
  return model.head.weight === model.embedding;
}

/**
 * Gives the output layer a copy of the embedding for its own matrix, under the name `lm_head.weight`. Returns what
 * undoes it and frees the copy.
 */
export function untieHead(model: LanguageModel): () => void {
  const own = model as { head: Linear };
  const parameters = model.parameters as Map<string, Tensor>;
  const before = own.head;
  const copy = keep(noGrad(() => scope(() => model.embedding.clone())));
  own.head = new Linear(copy, before.bias);
  parameters.set(NAME, copy);
  return () => {
    own.head = before;
    parameters.delete(NAME);
    copy.dispose();
  };
}
