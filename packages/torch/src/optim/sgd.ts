// Stochastic gradient descent with momentum, as torch.optim.SGD.
import type { Parameters } from '../nn.js';
import { scope } from '../scope.js';
import { type Move, Optimizer, type Slots } from './optimizer.js';

export interface SgdOptions {
  /** Default 0: no momentum. */
  momentum?: number;
  /** Added to the gradient as weightDecay * parameter. Default 0. */
  weightDecay?: number;
}

export class Sgd extends Optimizer {
  readonly #options: Required<SgdOptions>;

  constructor(parameters: Parameters, options: SgdOptions = {}) {
    super(parameters, ({ shape }): Slots => (options.momentum ? { velocity: shape } : {}));
    this.#options = { momentum: 0, weightDecay: 0, ...options };
  }

  protected override update(moves: readonly Move[], learningRate: number): void {
    for (const move of moves) scope(() => this.#move(move, learningRate));
  }

  #move({ name, parameter, gradient }: Move, learningRate: number): void {
    const { momentum, weightDecay } = this.#options;
    const decayed = weightDecay ? gradient.add(parameter, weightDecay) : gradient;
    if (momentum === 0) {
      parameter.add_(decayed, -learningRate);
      return;
    }
    // From zero, so that it starts at the first gradient, as torch's.
    const velocity = this.slot(name, 'velocity');
    velocity.mul_(momentum).add_(decayed);
    parameter.add_(velocity, -learningRate);
  }
}
