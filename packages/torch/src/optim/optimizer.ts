// What all optimizers share: parameters with fp32 master copies, a step count, and state that can be saved.
import { noGrad } from '../autograd.js';
import { stack } from '../functional.js';
import type { Parameters } from '../nn.js';
import { keep, scope } from '../scope.js';
import { op, type Tensor } from '../tensor.js';

/**
 * The state that an optimizer keeps of one parameter: the shape of each kind of tensor. They are fp32 and start at
 * zero.
 */
export type Slots = Readonly<Record<string, readonly number[]>>;

/** A parameter and its gradient, both fp32. Nobody needs the gradient afterwards. */
export interface Move {
  readonly name: string;
  readonly parameter: Tensor;
  readonly gradient: Tensor;
}

/** Parameters of about so many numbers are moved together: their gradients may be copies. */
const movedTogether = 1 << 22;

/**
 * Base of the optimizers. A parameter in a 16-bit type gets an fp32 master copy here: updates are added to the master,
 * and the parameter is its rounding. `step` needs gradients in `grad` and clears them.
 */
export abstract class Optimizer {
  /** Steps taken so far. */
  steps = 0;
  readonly #masters = new Map<string, Tensor>();
  readonly #state = new Map<string, Tensor>();

  constructor(
    readonly parameters: Parameters,
    slotsOf: (parameter: Tensor, name: string) => Slots,
  ) {
    noGrad(() => {
      for (const [name, parameter] of parameters) {
        if (parameter.dtype !== 'float32') this.#masters.set(name, keep(parameter.to('float32')));
        for (const [kind, shape] of Object.entries(slotsOf(parameter, name)))
          this.#state.set(`${kind}.${name}`, keep(op('aten::new_zeros', parameter, shape, 'float32')));
      }
    });
  }

  /**
   * Moves every parameter that has a gradient, at this learning rate, and clears the gradients.
   * `gradientScale` multiplies gradients on the way (clipping, averaging over micro-batches).
   */
  step(learningRate: number, gradientScale = 1): void {
    noGrad(() => {
      for (const group of this.#groups()) {
        scope(() => {
          const moves = group.flatMap(([name, parameter]): Move[] => {
            const own = parameter.grad;
            if (!own) return [];
            parameter.clearGrad();
            const gradient = gradientScale === 1 ? own.float() : own.float().mul(gradientScale);
            return [{ name, parameter: this.#masters.get(name) ?? parameter, gradient }];
          });
          if (moves.length > 0) this.update(moves, learningRate);
          for (const { name, parameter } of moves)
            if (this.#masters.has(name)) this.parameters.get(name)!.copy_(parameter);
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

  /**
   * Takes over what `state` gave after `steps` steps. Throws an Error, and changes nothing, where a tensor is missing,
   * is of another shape, or belongs to no parameter here.
   */
  restore(saved: ReadonlyMap<string, Tensor>, steps: number): void {
    const own = this.state();
    for (const name of saved.keys())
      if (!own.has(name)) throw new Error(`saved optimizer state has ${name}, which this optimizer does not keep`);
    for (const [name, tensor] of own) {
      const found = saved.get(name);
      if (!found) throw new Error(`saved optimizer state lacks ${name}`);
      if (found.shape.join() !== tensor.shape.join())
        throw new Error(`saved optimizer state: ${name} has shape [${found.shape}], not [${tensor.shape}]`);
    }
    noGrad(() => {
      for (const [name, tensor] of own) tensor.copy_(saved.get(name)!);
    });
    this.steps = steps;
  }

  dispose(): void {
    for (const tensor of [...this.#masters.values(), ...this.#state.values()]) tensor.dispose();
    this.#masters.clear();
    this.#state.clear();
  }

  /** Moves parameters in place. */
  protected abstract update(moves: readonly Move[], learningRate: number): void;

  /** The parameters in their order, in groups of about as many numbers. */
  #groups(): [name: string, parameter: Tensor][][] {
    const groups: [string, Tensor][][] = [];
    let numbers = Number.POSITIVE_INFINITY;
    for (const entry of this.parameters) {
      if (numbers >= movedTogether) {
        groups.push([]);
        numbers = 0;
      }
      groups.at(-1)!.push(entry);
      numbers += entry[1].numel;
    }
    return groups;
  }

  /** A state tensor of this parameter, of a kind that the constructor named. */
  protected slot(name: string, kind: string): Tensor {
    return this.#state.get(`${kind}.${name}`)!;
  }
}

/** The Euclidean norm over the gradients of all parameters. */
export function gradientNorm(parameters: Parameters): number {
  return scope(() => {
    // Read all at once: a GPU has to finish all its work before each reading.
    const norms = gradientNorms(parameters)?.toNumbers() ?? [];
    return Math.sqrt(norms.reduce((squares, norm) => squares + norm ** 2, 0));
  });
}

/**
 * The Euclidean norm of the gradient of each parameter that has one, in fp32 and the parameters' order; undefined: none
 * has.
 */
function gradientNorms(parameters: Parameters): Tensor | undefined {
  return scope(() => {
    const norms = [...parameters.values()].flatMap((parameter) => scope(() => parameter.grad?.float().norm()) ?? []);
    return norms.length > 0 ? stack(norms) : undefined;
  });
}

/**
 * The factor that brings a gradient of norm `norm` down to `maximum` (torch.nn.utils.clip_grad_norm_); 1 where it is
 * below.
 */
export function clipScale(norm: number, maximum: number): number {
  return Math.min(1, maximum / (norm + 1e-6));
}
