// AdamW (Loshchilov and Hutter 2019), as torch.optim.AdamW.

import type { Parameters } from '../nn.js';
import { call, op, type Tensor } from '../tensor.js';
import { Optimizer } from './optimizer.js';

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

  protected override update(name: string, parameter: Tensor, gradient: Tensor, learningRate: number): void {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const first = this.slot(name, 'first');
    const second = this.slot(name, 'second');
    const t = this.steps + 1;
    // All tensors are lists of one. No second moment's maximum is kept; libtorch wants the step as a tensor.
    const step = op('aten::new_full', parameter, [], t, 'float32');
    const lists = [[parameter], [gradient], [first], [second], [], [step]];
    call('aten::_fused_adamw_', ...lists, learningRate, beta1, beta2, weightDecay, epsilon, false, false);
  }
}
