// The output layer and the loss a few tokens at a time: of a large vocabulary (262,144 rows in Gemma 3) the logits of
// 1,000 tokens and their gradient are 1 GB each.
import { cat, scope, type Tensor } from '@promot/torch';
import { type LanguageModel, predictedIds, type TokenizedExample } from '../models/model.js';
import { idTensor } from '../models/padding.js';

/** More logits than so many are never held at once: 256 MB in fp32. */
const mostLogits = 2 ** 26;

/** How many tokens a piece has. */
export function tokensOfPiece(vocabulary: number, most = mostLogits): number {
  return Math.max(1, Math.floor(most / vocabulary));
}

/**
 * The sum of the losses of pieces of `states` [N, E], of `tokens` rows at most, detached: each piece goes forward and
 * backward at once, and at the end the graph of `states` does. Call in a scope.
 * @param lossOf the loss of a piece's logits [n, V] and targets [n], a scalar.
 * @param after called when the backward pass of a piece is done.
 */
export function backwardInPieces(
  model: LanguageModel,
  states: Tensor,
  examples: readonly TokenizedExample[],
  tokens: number,
  lossOf: (logits: Tensor, targets: Tensor) => Tensor,
  after: () => void = () => {},
): Tensor {
  const targets = examples.flatMap(predictedIds);
  const losses: Tensor[] = [];
  const gradients: Tensor[] = [];
  for (let from = 0; from < targets.length; from += tokens) {
    const count = Math.min(tokens, targets.length - from);
    const [loss, ...gradient] = scope(() => {
      const piece = states.detach().narrow(0, from, count);
      piece.requiresGrad = states.requiresGrad;
      const loss = lossOf(model.toLogits(piece), idTensor(targets.slice(from, from + count)));
      loss.backward();
      return [loss.detach(), ...(piece.grad ? [piece.grad] : [])] as [Tensor, ...Tensor[]];
    });
    losses.push(loss);
    gradients.push(...gradient);
    after();
  }
  if (gradients.length > 0) states.backward(cat(gradients));
  return losses.reduce((sum, x) => sum.add(x));
}
