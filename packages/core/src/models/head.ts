// The output layer of a model that shares its matrix with the embedding.
import { keep, Linear, noGrad, scope, type Tensor } from '@promot/torch';
import type { LanguageModel } from './model.js';

/** The output layer's name in Hugging Face's files: `lm_head`, or T5Gemma 2's `lm_head.out_proj`. */
export function headName({ places }: Pick<LanguageModel, 'places'>): string {
  const [name] = [...places].find(([, { parts }]) => parts[0]?.role === 'head')!;
  return name;
}

/** Whether the output layer's matrix is the embedding's. */
export function isTied(model: LanguageModel): boolean {
  return model.head.weight === model.embedding;
}

/**
 * Gives the output layer a copy of the embedding for its own matrix, under the output layer's name. Returns what
 * undoes it and frees the copy.
 */
export function untieHead(model: LanguageModel): () => void {
  const own = model as { head: Linear };
  const parameters = model.parameters as Map<string, Tensor>;
  const before = own.head;
  const copy = keep(noGrad(() => scope(() => model.embedding.clone())));
  own.head = new Linear(copy, before.bias);
  const name = `${headName(model)}.weight`;
  parameters.set(name, copy);
  return () => {
    own.head = before;
    parameters.delete(name);
    copy.dispose();
  };
}
