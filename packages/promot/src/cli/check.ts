// `promot doctor --check`: whether libtorch computes on this device what it should, in minutes.
import { readFileSync } from 'node:fs';
import { chooseDevice, type DeviceSetting } from '@promot/core/models';
import {
  type Device,
  dropout,
  grad,
  libtorch,
  mostPackedApart,
  noGrad,
  packedAttentionApart,
  plainRmsNorm,
  rmsNorm,
  scaledDotProductAttention,
  scope,
  smoothedCrossEntropy,
  type Tensor,
  tensor,
  uniform,
  watchTensors,
  withDevice,
  zeros,
} from '@promot/torch';
import { type CheckFile, type FamilyValues, familyValues } from './check-families.js';

/** One thing that was checked. */
interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, in words. */
  readonly found: string;
}

/** What is stored with the product. */
export function storedValues(): CheckFile {
  return JSON.parse(readFileSync(new URL('../../check/values.json', import.meta.url), 'utf8')) as CheckFile;
}

/**
 * How far a number may be from the stored one, of its size. Other kernels sum in another order; in bf16 a number has
 * eight bits, and steps add their errors up.
 */
const tolerance = { float32: 2e-3, bfloat16: 0.06 } as const;

/** Checks a device; `tell` hears of each result as it comes. Throws UserError where there is no such device. */
export async function checkDevice(
  setting: DeviceSetting,
  tell: (result: CheckResult) => void,
  { families } = storedValues(),
): Promise<CheckResult[]> {
  const device = chooseDevice(setting);
  const results: CheckResult[] = [];
  const check = async (name: string, work: () => string | Promise<string>) => {
    let result: CheckResult;
    try {
      result = { name, ok: true, found: await work() };
    } catch (error) {
      result = { name, ok: false, found: (error as Error).message };
    }
    results.push(result);
    tell(result);
  };
  await withDevice(device, async () => {
    await check('operators', () => noGrad(() => scope(checkOperators)));
    await check('packed attention', () => checkPacked(device));
    await check('dropout and seeds', () => noGrad(() => scope(checkDropout)));
    await check('attention with dropout', () => scope(checkAttentionDropout));
    const left = watchTensors();
    for (const dtype of ['float32', 'bfloat16'] as const)
      for (const { name, config, ...values } of families)
        await check(`${name}, ${dtype}`, async () => {
          const wanted = values[dtype === 'float32' ? 'fp32' : 'bf16'];
          return compare(await familyValues(config, name, dtype, device), wanted, tolerance[dtype]);
        });
    await check('memory returned', () => {
      if (left() !== 0) throw new Error(`${left()} tensors were left behind`);
      return 'no tensor was left behind';
    });
    await check('out of memory', () => scope(checkOutOfMemory));
    await check('bandwidth of memory', () => noGrad(() => scope(bandwidth)));
    await check('matrix products', () => noGrad(() => scope(() => products(device === 'cpu' ? 512 : 4096))));
  });
  return results;
}

/** Throws where some number is too far from the stored one; else says how far the farthest is. */
function compare(found: FamilyValues, wanted: FamilyValues, most: number): string {
  let farthest = 0;
  for (const key of ['logits', 'loss', 'gradients', 'steps'] as const) {
    const [own, other] = [[found[key]].flat(), [wanted[key]].flat()];
    const size = Math.max(...other.map(Math.abs));
    own.forEach((value, i) => {
      const apart = Math.abs(value - other[i]!) / size;
      if (!(apart <= most)) throw new Error(`${key}: number ${i + 1} is ${value}, not ${other[i]}`);
      farthest = Math.max(farthest, apart);
    });
  }
  if (JSON.stringify(found.beams) !== JSON.stringify(wanted.beams))
    throw new Error(`beams: ${JSON.stringify(found.beams)}, not ${JSON.stringify(wanted.beams)}`);
  return `within ${farthest.toExponential(1)}`;
}

const apartOf = (a: Tensor, b: Tensor) => a.float().sub(b.float()).abs().amax().item();

function checkOperators(): string {
  const wave = (rows: number, columns: number, step: number) =>
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(step * i)),
      { shape: [rows, columns] },
    );
  const [a, b] = [wave(16, 24, 0.7), wave(24, 8, 0.3)];
  const [x, y] = [a.toNumbers(), b.toNumbers()];
  const wanted = Array.from({ length: 16 * 8 }, (_, at) => {
    const [i, j] = [Math.floor(at / 8), at % 8];
    return Array.from({ length: 24 }, (_, k) => x[24 * i + k]! * y[8 * k + j]!).reduce((sum, one) => sum + one, 0);
  });
  const faults: string[] = [];
  const near = (name: string, apart: number, most: number) => {
    if (!(apart <= most)) faults.push(`${name} is ${apart.toExponential(1)} apart`);
  };
  near(
    'matmul',
    Math.max(
      ...a
        .matmul(b)
        .toNumbers()
        .map((one, i) => Math.abs(one - wanted[i]!)),
    ),
    1e-3,
  );
  near('softmax', apartOf(a.softmax(1), a.sub(a.logsumexp(1, true)).exp()), 1e-5);
  const weight = wave(1, 24, 0.9).view(24);
  near('rmsNorm', apartOf(rmsNorm(a, weight, 1e-6), plainRmsNorm(a, weight, 1e-6)), 1e-5);
  const targets = tensor(
    Array.from({ length: 16 }, (_, i) => i),
    { dtype: 'int64' },
  );
  const losses = smoothedCrossEntropy(a, targets, { confidence: 1, other: 0 });
  near('cross-entropy', apartOf(losses, a.logSoftmax(1).gather(1, targets.unsqueeze(1)).squeeze(1).neg()), 1e-5);
  const [q, k, v] = [0.3, 0.5, 0.7].map((step) => wave(8, 24, step).view(1, 2, 4, 24)) as [Tensor, Tensor, Tensor];
  const plain = q.matmul(k.transpose(2, 3)).mul(0.5).softmax(3).matmul(v);
  near('attention', apartOf(scaledDotProductAttention(q, k, v, { scale: 0.5 }), plain), 1e-4);
  near('bf16 matmul', apartOf(a.to('bfloat16').matmul(b.to('bfloat16')), a.matmul(b)), 0.2);
  if (faults.length > 0) throw new Error(faults.join('; '));
  return 'products, softmax, norm, loss, attention';
}

/** Attention over sequences side by side, where the device has a kernel for it. */
function checkPacked(device: Device): string {
  const apart = ([64, 128] as const).map((width) => {
    try {
      return packedAttentionApart(device === 'cpu' ? 'float32' : 'bfloat16', width);
    } catch (error) {
      // Not every CPU has one. A GPU that has none is as right, and slower.
      if (device === 'cpu') return undefined;
      return `none: ${(error as Error).message}`;
    }
  });
  const [first] = apart;
  if (first === undefined) return 'not on this processor: attention goes row by row';
  const wrong = apart.find((one) => typeof one === 'number' && !(one <= mostPackedApart));
  if (wrong !== undefined) throw new Error(`it is ${wrong} apart from the formula, and is not used`);
  return apart.map((one) => (typeof one === 'number' ? `within ${one.toExponential(1)}` : one)).join(', ');
}

function checkDropout(): string {
  const ones = zeros([1000, 100]).add(1);
  const [first, again, other] = [1, 1, 2].map((seed) => dropout(ones, 0.1, seed)) as [Tensor, Tensor, Tensor];
  if (!first.equal(again)) throw new Error('the same seed drew another mask');
  if (first.equal(other)) throw new Error('two seeds drew the same mask');
  const rate = first.eq(0).float().mean().item();
  if (Math.abs(rate - 0.1) > 0.01) throw new Error(`a rate of 0.1 dropped ${rate.toFixed(3)}`);
  if (Math.abs(first.mean().item() - 1) > 0.02) throw new Error('what stays is not scaled up');
  return `a rate of 0.1 dropped ${rate.toFixed(3)}; a seed draws the same again`;
}

/** Where a kernel draws its masks itself: T5's attention in training, with its bias. */
function checkAttentionDropout(): string {
  const make = (seed: number, shape = [2, 3, 40, 64]) => uniform(shape, -1, 1, seed).to('bfloat16');
  const [query, key, value, bias] = [make(1), make(2), make(3), make(4, [1, 3, 40, 40])] as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  for (const one of [value, bias]) one.requiresGrad = true;
  const attend = (seed: number, rate = 0.25) =>
    scaledDotProductAttention(query, key, value, { mask: bias, scale: 0.125, dropout: { rate, seed } });
  const [first, again, other] = [attend(1), attend(1), attend(2)] as [Tensor, Tensor, Tensor];
  if (!first.equal(again)) throw new Error('the same seed drew another mask');
  if (first.equal(other)) throw new Error('two seeds drew the same mask');
  const weight = make(5).float();
  const sum = first.float().mul(weight).sum();
  const [ofValue, ofBias] = grad([sum], [value, bias]) as [Tensor, Tensor];
  // The result is linear in the values, and so is the sum: another mask backward would give another number.
  const apart = Math.abs(ofValue.float().mul(value.float()).sum().sub(sum).item());
  const size = first.float().mul(weight).norm().item();
  if (!(apart <= 0.05 * size)) throw new Error(`the backward pass is ${apart.toFixed(3)} off: it has another mask`);
  // Every row of scores may be moved without a change.
  const moved = ofBias.float().sum(3).abs().amax().item();
  const most = ofBias.float().abs().amax().item();
  if (!(moved <= 0.2 * most)) throw new Error('the gradient of the bias does not sum to zero over a row');
  const mean = Array.from({ length: 50 }, (_, seed) =>
    noGrad(() => scope(() => attend(seed).float().mul(weight).sum().item())),
  );
  const wanted = attend(0, 0).float().mul(weight).sum().item();
  const off = Math.abs(mean.reduce((all, one) => all + one, 0) / 50 - wanted);
  if (!(off <= 0.2 * size)) throw new Error(`over 50 seeds it is ${off.toFixed(3)} off: what stays is not scaled up`);
  return `a seed draws the same again, also backward: within ${(apart / size).toExponential(1)}`;
}

/** A request that no device can meet fails with an error, and the next one is met. */
function checkOutOfMemory(): string {
  let message = '';
  try {
    zeros([2 ** 46]);
  } catch (error) {
    message = (error as Error).message;
  }
  if (message === '') throw new Error('256 TiB were given');
  if (zeros([1000]).add(1).sum().item() !== 1000) throw new Error('nothing works after it');
  return 'an error, and work goes on';
}

const seconds = (work: () => void, times: number): number => {
  work();
  const started = performance.now();
  for (let i = 0; i < times; i++) work();
  return (performance.now() - started) / 1000 / times;
};

function bandwidth(): string {
  const [from, to] = [zeros([2 ** 24]).add(1), zeros([2 ** 24])];
  // A GPU has to finish before a number can be read.
  const each = seconds(() => void to.copy_(from).select(0, 0).item(), 5);
  return `${((2 * 4 * 2 ** 24) / each / 1e9).toFixed(1)} GB/s`;
}

/** A GPU needs large ones to be busy; a processor without bf16 units takes seconds for them. */
function products(side: number): string {
  const rates = (['float32', 'bfloat16'] as const).map((dtype) => {
    const x = uniform([side, side], -1, 1, 1).to(dtype);
    const each = seconds(() => scope(() => void x.matmul(x).select(0, 0).select(0, 0).item()), 2);
    return `${Number(((2 * side ** 3) / each / 1e9).toPrecision(2))} GFLOP/s in ${dtype}`;
  });
  return rates.join(', ');
}

/** What is checked with, for the table's first line. */
export function checkedWith(setting: DeviceSetting): string {
  return `libtorch ${libtorch().version} on ${chooseDevice(setting)}`;
}
