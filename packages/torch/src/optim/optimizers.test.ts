// The optimizers against torch.optim and the golden script's Adafactor; saving and going on; 16-bit parameters.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { expectSameBits } from '../../test/threads.js';
import {
  Adafactor,
  AdamW,
  clipScale,
  type DType,
  gradientNorm,
  keep,
  type Optimizer,
  type Parameters,
  Sgd,
  scope,
  type Tensor,
  tensor,
  watchTensors,
} from '../index.js';

interface Fit {
  learningRate: number;
  x: number[][];
  y: number[][];
  w: number[][];
  losses: number[];
  finalW: number[][];
  weightDecay: number;
}
interface AdafactorCase {
  shape: number[];
  factored: boolean;
  parameterScaled: boolean;
  learningRate: number;
  firstStep: number;
  steps: number;
  isFactored: boolean;
  firstElements: number[];
  lastElements: number[];
  sum: number;
  norm: number;
}
interface Golden {
  adamw: Fit & { betas: [number, number]; epsilon: number };
  sgd: Fit & { momentum: number };
  adafactor: AdafactorCase[];
}

const path = fileURLToPath(new URL('../../../core/golden/optimizers.json', import.meta.url));
const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden;

const matrix = (rows: number[][]) => tensor(rows.flat(), { shape: [rows.length, rows[0]!.length] });
function expectClose(found: readonly number[], wanted: readonly number[], tolerance: number): void {
  expect(found.length).toBe(wanted.length);
  found.forEach((x, i) => {
    expect(Math.abs(x - wanted[i]!), `element ${i}: ${x} is not ${wanted[i]}`).toBeLessThan(tolerance);
  });
}

/** Gives the parameter this gradient, by way of autograd. */
function setGradient(parameter: Tensor, gradient: readonly number[]): void {
  parameter.requiresGrad = true;
  scope(() => parameter.backward(tensor(gradient, { shape: parameter.shape }).to(parameter.dtype)));
}
/** The golden script's made-up start and gradients. */
const madeUp = (count: number, at: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => at(i));
const startOf = (shape: readonly number[], dtype: DType = 'float32') =>
  keep(
    tensor(
      madeUp(
        shape.reduce((a, b) => a * b, 1),
        Math.sin,
      ),
      { shape, dtype },
    ),
  );
const gradientAt = (step: number, count: number) => [...madeUp(count, (i) => 0.01 * Math.cos(i * (step + 1)))];

describe('against torch.optim', () => {
  test.each([
    [
      'AdamW',
      golden.adamw,
      (p: Parameters) => {
        const { betas, epsilon, weightDecay } = golden.adamw;
        return new AdamW(p, { beta1: betas[0], beta2: betas[1], epsilon, weightDecay });
      },
    ],
    [
      'SGD',
      golden.sgd,
      (p: Parameters) => new Sgd(p, { momentum: golden.sgd.momentum, weightDecay: golden.sgd.weightDecay }),
    ],
  ] as const)('%s fits a matrix', (_, fit, make) => {
    scope(() => {
      const [x, y, w] = [matrix(fit.x), matrix(fit.y), matrix(fit.w)];
      w.requiresGrad = true;
      const optimizer = make(new Map([['w', w]]));
      const losses = fit.losses.map(() =>
        scope(() => {
          const loss = x.matmul(w).sub(y).square().mean();
          loss.backward();
          optimizer.step(fit.learningRate);
          return loss.item();
        }),
      );
      expectClose(losses, fit.losses, 1e-6);
      expectClose(w.toNumbers(), fit.finalW.flat(), 2e-6);
      expect(optimizer.steps).toBe(fit.losses.length);
      optimizer.dispose();
    });
  });

  test('SGD without momentum is the plain rule, and keeps no state', () => {
    const w = startOf([3]);
    const optimizer = new Sgd(new Map([['w', w]]));
    setGradient(w, [1, -2, 0.5]);
    optimizer.step(0.1);
    expectClose(w.toNumbers(), [0 - 0.1, Math.sin(1) + 0.2, Math.sin(2) - 0.05], 1e-7);
    expect(optimizer.state().size).toBe(0);
    w.dispose();
  });
});

describe('Adafactor against the golden script', () => {
  const titled = golden.adafactor.map((one) => ({
    ...one,
    title:
      `[${one.shape}] ${one.isFactored ? 'factored' : 'whole'}, ${one.parameterScaled ? 'scaled' : 'not scaled'}, ` +
      `from step ${one.firstStep}`,
  }));
  test.each(titled)('$title', (wanted) => {
    const p = startOf(wanted.shape);
    const { factored, parameterScaled: scaleByParameter, firstStep } = wanted;
    const optimizer = new Adafactor(new Map([['p', p]]), { factored, scaleByParameter, firstStep });
    for (let step = 0; step < wanted.steps; step++) {
      setGradient(p, gradientAt(step, p.numel));
      optimizer.step(wanted.learningRate);
    }
    expect([...optimizer.state().keys()].sort()).toEqual(wanted.isFactored ? ['column.p', 'row.p'] : ['moment.p']);
    const values = p.toNumbers();
    const tolerance = 1e-5 * Math.max(1, ...values.map(Math.abs));
    expectClose(values.slice(0, 16), wanted.firstElements, tolerance);
    expectClose(values.slice(-16), wanted.lastElements, tolerance);
    const sum = values.reduce((a, b) => a + b, 0);
    const norm = Math.sqrt(values.reduce((a, b) => a + b * b, 0));
    expect(Math.abs(sum - wanted.sum)).toBeLessThan(1e-5 * wanted.norm);
    expect(Math.abs(norm - wanted.norm)).toBeLessThan(1e-5 * wanted.norm);
    optimizer.dispose();
    p.dispose();
  });
});

describe("Adafactor's kernel", () => {
  // Sides that are no multiple of the kernel's lanes, more rows than one of its pieces, a long vector.
  const shapes: Record<string, number[]> = {
    odd: [131, 145],
    high: [300, 128],
    wide: [128, 300],
    small: [5, 3],
    long: [20_001],
  };
  const cases = [true, false].flatMap((factored) => [true, false].map((scaled) => [factored, scaled] as const));
  test.each(cases)('is the plain form over ten steps: factored %s, scaled %s', (factored, scaleByParameter) => {
    const make = (fused: boolean) => {
      const parameters = new Map(Object.entries(shapes).map(([name, shape]) => [name, startOf(shape)]));
      return new Adafactor(parameters, { factored, scaleByParameter, fused });
    };
    const [fused, plain] = [make(true), make(false)];
    for (let step = 0; step < 10; step++) {
      for (const optimizer of [fused, plain]) {
        for (const [name, parameter] of optimizer.parameters) {
          const gradient = gradientAt(step, parameter.numel);
          // Rows that never had a gradient, as most of an embedding's.
          if (name === 'high') gradient.fill(0, 128 * 10, 128 * 250);
          setGradient(parameter, gradient);
        }
        optimizer.step(0.1);
      }
    }
    for (const [name, parameter] of fused.parameters) {
      const wanted = plain.parameters.get(name)!;
      const scale = wanted.norm().item() / Math.sqrt(wanted.numel);
      expect(parameter.sub(wanted).abs().amax().item() / scale, name).toBeLessThan(2e-5);
      expect(parameter.equal(startOf(shapes[name]!)), name).toBe(false);
    }
    for (const [name, state] of fused.state()) {
      const wanted = plain.state().get(name)!;
      expect(state.sub(wanted).div(wanted).abs().amax().item(), name).toBeLessThan(1e-5);
    }
  });

  test('gives the same bits with any number of threads', () => {
    expectSameBits(() => {
      const optimizer = new Adafactor(new Map(Object.entries(shapes).map(([name, shape]) => [name, startOf(shape)])));
      takeSteps(optimizer, 0, 3);
      return [...optimizer.parameters.values()];
    });
  });
});

const kinds: [string, (p: Parameters) => Optimizer][] = [
  ['Adafactor, factored', (p) => new Adafactor(p)],
  ['Adafactor, whole', (p) => new Adafactor(p, { factored: false, scaleByParameter: false })],
  ['AdamW', (p) => new AdamW(p, { weightDecay: 0.1 })],
  ['SGD', (p) => new Sgd(p, { momentum: 0.9 })],
];

/** A factored matrix, a small one and a vector. */
const shapes = { large: [130, 128], small: [3, 4], vector: [7] };
const parametersOf = (dtype: DType): Map<string, Tensor> =>
  new Map(Object.entries(shapes).map(([name, shape]) => [name, startOf(shape, dtype)]));
function takeSteps(optimizer: Optimizer, from: number, to: number): void {
  for (let step = from; step < to; step++) {
    for (const parameter of optimizer.parameters.values()) setGradient(parameter, gradientAt(step, parameter.numel));
    optimizer.step(0.01);
  }
}
const copyOf = (tensors: ReadonlyMap<string, Tensor>) =>
  new Map([...tensors].map(([name, one]) => [name, keep(one.detach().clone())]));

describe.each(['float32', 'bfloat16'] as const)('saved and restored, %s', (dtype) => {
  test.each(kinds)('%s goes on to the same bits', (_, make) => {
    const whole = make(parametersOf(dtype));
    takeSteps(whole, 0, 3);
    const savedState = copyOf(whole.state());
    const savedParameters = copyOf(whole.parameters);
    takeSteps(whole, 3, 6);

    const resumed = make(savedParameters);
    resumed.restore(savedState, 3);
    // What was restored must not be the saved tensors themselves.
    for (const one of savedState.values()) one.dispose();
    takeSteps(resumed, 3, 6);
    expect(resumed.steps).toBe(6);
    for (const [name, parameter] of whole.parameters)
      expect(parameter.equal(resumed.parameters.get(name)!), name).toBe(true);
    for (const [name, one] of whole.state()) expect(one.equal(resumed.state().get(name)!), name).toBe(true);
  });
});

describe('a restore that does not fit', () => {
  const setUp = () => {
    const optimizer = new AdamW(parametersOf('bfloat16'));
    takeSteps(optimizer, 0, 1);
    return { optimizer, saved: copyOf(optimizer.state()) };
  };
  test('a missing moment or master', () => {
    for (const name of ['second.small', 'master.vector']) {
      const { optimizer, saved } = setUp();
      saved.delete(name);
      expect(() => optimizer.restore(saved, 1)).toThrow(`saved optimizer state lacks ${name}`);
    }
  });
  test('another shape; nothing is changed', () => {
    const { optimizer, saved } = setUp();
    const before = copyOf(optimizer.state());
    for (const one of saved.values()) one.zero_();
    saved.set('second.vector', keep(tensor([1, 2])));
    expect(() => optimizer.restore(saved, 9)).toThrow('saved optimizer state: second.vector has shape [2], not [7]');
    expect(optimizer.steps).toBe(1);
    for (const [name, one] of optimizer.state()) expect(one.equal(before.get(name)!), name).toBe(true);
  });
  test('a tensor of another optimizer, of another parameter, of a parameter without a master', () => {
    for (const name of ['row.large', 'first.other', 'master.other']) {
      const { optimizer, saved } = setUp();
      saved.set(name, keep(tensor([1])));
      expect(() => optimizer.restore(saved, 1)).toThrow(
        `saved optimizer state has ${name}, which this optimizer does not keep`,
      );
    }
    const narrow = setUp();
    const wide = new AdamW(parametersOf('float32'));
    expect(() => wide.restore(narrow.saved, 1)).toThrow('saved optimizer state has master.');
  });
});

describe('bfloat16 parameters', () => {
  test.each(kinds)('%s: the parameter is the rounding of its master', (_, make) => {
    const optimizer = make(parametersOf('bfloat16'));
    takeSteps(optimizer, 0, 4);
    const state = optimizer.state();
    for (const [name, parameter] of optimizer.parameters) {
      const master = state.get(`master.${name}`)!;
      expect(master.dtype).toBe('float32');
      expect(parameter.equal(master.to('bfloat16')), name).toBe(true);
      // The master is finer than the parameter, or it would serve for nothing.
      expect(parameter.float().equal(master), name).toBe(false);
    }
  });

  test('nothing is left of an optimizer that was disposed', () => {
    const w = keep(tensor([1], { dtype: 'bfloat16' }));
    const left = watchTensors();
    new Sgd(new Map([['w', w]])).dispose();
    expect(left()).toBe(0);
    w.dispose();
  });

  test('updates below the spacing of bfloat16 add up', () => {
    const w = keep(tensor([1], { dtype: 'bfloat16' }));
    const optimizer = new Sgd(new Map([['w', w]]));
    // Above 1 the next bfloat16 is 1/128 away; each step moves by a sixteenth of that.
    for (let step = 0; step < 7; step++) {
      setGradient(w, [-1]);
      optimizer.step(1 / 2048);
    }
    expect(w.item()).toBe(1);
    for (let step = 7; step < 16; step++) {
      setGradient(w, [-1]);
      optimizer.step(1 / 2048);
    }
    expect(w.item()).toBe(1 + 1 / 128);
  });
});

describe('a step', () => {
  test('leaves a parameter without a gradient alone, clears gradients, and leaves no tensor behind', () => {
    const parameters = parametersOf('bfloat16');
    const optimizer = new AdamW(parameters, { weightDecay: 0.5 });
    const before = copyOf(parameters);
    setGradient(parameters.get('small')!, gradientAt(0, 12));
    const left = watchTensors();
    optimizer.step(0.1);
    expect(left()).toBe(0);
    expect(parameters.get('vector')!.equal(before.get('vector')!)).toBe(true);
    expect(parameters.get('small')!.equal(before.get('small')!)).toBe(false);
    expect(parameters.get('small')!.grad).toBeUndefined();
    // Nor does it mind where none has a gradient.
    optimizer.step(0.1);
    expect(optimizer.steps).toBe(2);
  });

  test('gradientScale multiplies the gradients, whatever the optimizer', () => {
    const [scaled, plain] = [startOf([4]), startOf([4])];
    const [first, second] = [new Sgd(new Map([['w', scaled]])), new Sgd(new Map([['w', plain]]))];
    setGradient(scaled, [1, 2, 3, 4]);
    first.step(0.5, 0.25);
    setGradient(plain, [0.25, 0.5, 0.75, 1]);
    second.step(0.5);
    expect(scaled.equal(plain)).toBe(true);
  });
});

describe('clipping', () => {
  test('the norm is over all gradients, in float32', () => {
    const parameters = new Map([
      ['a', startOf([2])],
      ['b', startOf([1], 'bfloat16')],
      ['without', startOf([3])],
    ]);
    setGradient(parameters.get('a')!, [3, 0]);
    setGradient(parameters.get('b')!, [-4]);
    expect(gradientNorm(parameters)).toBeCloseTo(5, 6);
  });
  test('the factor is that of torch.nn.utils.clip_grad_norm_', () => {
    expect(clipScale(5, 1)).toBeCloseTo(1 / (5 + 1e-6), 12);
    expect(clipScale(0.5, 1)).toBe(1);
    expect(clipScale(0, 1)).toBe(1);
    expect(clipScale(0, 0)).toBe(0);
  });
});
