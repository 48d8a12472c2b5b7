// AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW.

import type { Parameters } from '../nn.js';
import { call, op } from '../tensor.js';
import { type Move, Optimizer } from './optimizer.js';

export interface AdamWOptions {
  /** Decay of the first moment. Default 0.9. */
  beta1?: number;
  /** Decay of the second moment. Default 0.999. */
  beta2?: number;
  /** Added to the root of the second moment. Default 1e-8. */
  epsilon?: number;
  /** Decoupled: the parameter shrinks by rate * weightDecay each step. Default 0 (torch: 0.01). */
  weightDecay?: number;
}

export class AdamW extends Optimizer {
  readonly #options: Required<AdamWOptions>;

  constructor(parameters: Parameters, options: AdamWOptions = {}) {
    super(parameters, ({ shape }) => ({ first: shape, second: shape }));
    this.#options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, ...options };
  }

  protected override update(moves: readonly Move[], learningRate: number): void {
    const [{ parameter }] = moves as [Move];
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const of = (kind: string) => moves.map(({ name }) => this.slot(name, kind));
    // libtorch wants the step as a tensor, one for each parameter. No second moment's maximum is kept.
    const step = op('aten::new_full', parameter, [], this.steps + 1, 'float32');
    const lists = [
      moves.map((move) => move.parameter),
      moves.map((move) => move.gradient),
      of('first'),
      of('second'),
      [],
      moves.map(() => step),
    ];
    call('aten::_fused_adamw_', ...lists, learningRate, beta1, beta2, weightDecay, epsilon, false, false);
  }
}
