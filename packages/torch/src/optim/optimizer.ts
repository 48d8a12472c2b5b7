// What all optimizers share: parameters with fp32 master copies, a step count, and state that can be saved.
import { noGrad } from '../autograd.js';
import type { Parameters } from '../nn.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';

/**
 * Base of the optimizers. A parameter in a 16-bit type gets an fp32 master copy here: updates are added to the master, and
 * the parameter is its rounding. `step` needs gradients in `grad` and clears them.
 */
export abstract class Optimizer {
  /** Steps taken so far. */
  steps = 0;
  readonly #masters = new Map<string, Tensor>();
  readonly #state = new Map<string, Tensor>();

  constructor(readonly parameters: Parameters) {
    noGrad(() => {
      for (const [name, parameter] of parameters)
        if (parameter.dtype !== 'float32') this.#masters.set(name, keep(parameter.detach().to('float32')));
    });
  }

  /**
   * Moves every parameter that has a gradient, at this learning rate, and clears the gradients.
   * `gradientScale` multiplies gradients on the way (clipping, averaging over micro-batches).
   */
  step(learningRate: number, gradientScale = 1): void {
    noGrad(() => {
      for (const [name, parameter] of this.parameters) {
        scope(() => {
          const gradient = parameter.grad;
          if (!gradient) return;
          const wide = gradientScale === 1 ? gradient.float() : gradient.float().mul(gradientScale);
          parameter.clearGrad();
          const master = this.#masters.get(name);
          this.update(name, master ?? parameter, wide, learningRate);
          if (master) parameter.copy_(master);
        });
      }
    });
    this.steps++;
  }

  /** Everything that a resumed run needs beside the parameters: masters and moments, as tensors by name. */
  state(): Map<string, Tensor> {
    const all = new Map<string, Tensor>();
    for (const [name, master] of this.#masters) all.set(`master.${name}`, master);
    for (const [name, tensor] of this.#state) all.set(name, tensor);
    return all;
  }

  /** Takes over saved state; throws where a tensor is missing or of another shape. */
  restore(saved: ReadonlyMap<string, Tensor>, steps: number): void {
    noGrad(() => {
      for (const [name, tensor] of saved) {
        if (name.startsWith('master.')) {
          const master = this.#masters.get(name.slice('master.'.length));
          if (!master) throw new Error(`saved optimizer state has ${name}, which this run does not train`);
          master.copy_(tensor);
        } else this.#state.set(name, keep(tensor.clone()));
      }
    });
    this.steps = steps;
  }

  dispose(): void {
    for (const tensor of [...this.#masters.values(), ...this.#state.values()]) tensor.dispose();
    this.#masters.clear();
    this.#state.clear();
  }

  /** Moves `parameter` (fp32) in place. `gradient` is fp32 and not needed afterwards. */
  protected abstract update(name: string, parameter: Tensor, gradient: Tensor, learningRate: number): void;

  /** A state tensor of this parameter, made at first use. */
  protected slot(name: string, kind: string, make: () => Tensor): Tensor {
    const key = `${kind}.${name}`;
    let tensor = this.#state.get(key);
    if (!tensor) {
      tensor = keep(make());
      this.#state.set(key, tensor);
    }
    return tensor;
  }
}

/** The Euclidean norm over the gradients of all parameters, in fp32. */
export function gradientNorm(parameters: Parameters): number {
  return scope(() => {
    let squares = 0;
    for (const parameter of parameters.values()) {
      const gradient = parameter.grad;
      if (gradient) squares += gradient.float().norm().item() ** 2;
    }
    return Math.sqrt(squares);
  });
}

/** The factor that brings a gradient of norm `norm` down to `maximum` (torch.nn.utils.clip_grad_norm_); 1 where it is below. */
export function clipScale(norm: number, maximum: number): number {
  return Math.min(1, maximum / (norm + 1e-6));
}
