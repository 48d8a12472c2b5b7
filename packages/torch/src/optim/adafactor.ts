// Adafactor with T5X's semantics (t5x/adafactor.py; Shazeer and Stern 2018).

import { full } from '../creation.js';
import { cat } from '../functional.js';
import type { Parameters } from '../nn.js';
import { scope } from '../scope.js';
import { call, type Tensor } from '../tensor.js';
import { type Move, Optimizer, type Slots } from './optimizer.js';

export interface AdafactorOptions {
  /**
   * Keep row and column means of the squared gradient in place of the whole (for matrices with both sides >= 128).
   * Default true.
   */
  factored?: boolean;
  /** Multiply the step by max(RMS of the parameter, 1e-3). Default true. */
  scaleByParameter?: boolean;
  /**
   * On a CPU one kernel takes the whole step (native/adafactor.cc), to the same values but for rounding. Default true.
   */
  fused?: boolean;
  /** The step number of the first step, for the decay 1 - (t + 1)^-0.8. Default 0. */
  firstStep?: number;
  /** Parameters of which this process has some rows only, and the others the rest. */
  pieces?: Pieces;
}

/** Parameters that are divided over processes by rows. */
export interface Pieces {
  /** The shape of the whole of a parameter; undefined where it is not divided. */
  shapeOf(name: string): readonly number[] | undefined;
  /** Adds up, in place, what each process has found of its rows. */
  sum(tensor: Tensor): void;
}

// T5X: min_dim_size_to_factor. Smaller matrices and vectors keep the whole second moment.
const smallestFactoredSide = 128;
// T5X: epsilon1 keeps the second moment above zero, epsilon2 the parameter scale.
const epsilonGradient = 1e-30;
const epsilonParameter = 1e-3;
// T5X: clipping_threshold, on the RMS of the update.
const clippingThreshold = 1;
const decayExponent = 0.8;

/**
 * Adafactor without momentum. With v the (factored) running mean of g^2 and decay 1 - (t + 1)^-0.8, the update is
 * u = g / sqrt(v), divided by max(1, RMS(u)), times the learning rate, times the parameter's scale where asked.
 * The T5 setting is the default; prompts train with `{ factored: false, scaleByParameter: false }`.
 */
export class Adafactor extends Optimizer {
  readonly #options: Required<Omit<AdafactorOptions, 'pieces'>>;
  readonly #pieces: Pieces | undefined;

  constructor(parameters: Parameters, options: AdafactorOptions = {}) {
    const factored = options.factored ?? true;
    super(
      parameters,
      ({ shape }, name): Slots =>
        factored && isFactorable(options.pieces?.shapeOf(name) ?? shape)
          ? { row: [shape[0]!], column: [shape[1]!] }
          : { moment: shape },
    );
    const { pieces, ...own } = options;
    this.#pieces = pieces;
    this.#options = { factored: true, scaleByParameter: true, fused: true, firstStep: 0, ...own };
  }

  protected override update(moves: readonly Move[], learningRate: number): void {
    for (const move of moves) scope(() => this.#move(move, learningRate));
  }

  #move({ name, parameter, gradient }: Move, learningRate: number): void {
    const decay = 1 - (this.#options.firstStep + this.steps + 1) ** -decayExponent;
    const divided = this.#pieces?.shapeOf(name);
    const shape = divided ?? parameter.shape;
    const factored = this.#options.factored && isFactorable(shape);
    if (this.#options.fused && !divided && parameter.device === 'cpu') {
      const kinds = factored ? ['row', 'column'] : ['moment'];
      const moments = kinds.map((kind) => this.slot(name, kind));
      call('promot::adafactor_', parameter, gradient, moments, decay, learningRate, this.#options.scaleByParameter);
      return;
    }
    let update: Tensor;
    if (factored) {
      const [rows, columns] = shape as [number, number];
      // Means of g^2 over each row and each column, from norms: g^2 itself is never stored.
      const row = this.slot(name, 'row');
      const column = this.slot(name, 'column');
      row.mul_(decay).add_(gradient.norm(1).square().div_(columns).add_(epsilonGradient), 1 - decay);
      const squares = gradient.norm(0).square();
      const rowSum = row.sum();
      if (divided) this.#sum([squares, rowSum]);
      column.mul_(decay).add_(squares.div_(rows).add_(epsilonGradient), 1 - decay);
      const rowFactor = row.div(rowSum.div(rows)).rsqrt();
      update = gradient.mul(rowFactor.unsqueeze(1)).mul_(column.rsqrt());
    } else {
      const moment = this.slot(name, 'moment');
      moment.mul_(decay).add_(gradient.square().add_(epsilonGradient), 1 - decay);
      update = gradient.mul(moment.rsqrt());
    }
    // float64 tensors of one element, because a GPU would have to finish all its work before a number can be read.
    const [ofParameter, ofUpdate] = [parameter, update].map((x) => x.norm().to('float64').square()) as [Tensor, Tensor];
    if (divided) this.#sum([ofParameter, ofUpdate]);
    const numel = shape.reduce((product, side) => product * side, 1);
    const rms = (squares: Tensor) => squares.div(numel).sqrt();
    const rate = this.#options.scaleByParameter
      ? rms(ofParameter).clamp(epsilonParameter).mul(learningRate)
      : full([], learningRate, 'float64');
    const step = rate.div(rms(ofUpdate).div(clippingThreshold).clamp(1));
    parameter.add_(update.mul_(step), -1);
  }

  /** Adds tensors of one type up over the processes, in place and in one message. */
  #sum(tensors: readonly Tensor[]): void {
    const all = cat(tensors.map((tensor) => tensor.reshape(-1)));
    this.#pieces!.sum(all);
    let at = 0;
    for (const tensor of tensors) {
      tensor.copy_(all.narrow(0, at, tensor.numel).view(...tensor.shape));
      at += tensor.numel;
    }
  }
}

function isFactorable(shape: readonly number[]): boolean {
  return shape.length === 2 && Math.min(...shape) >= smallestFactoredSide;
}
