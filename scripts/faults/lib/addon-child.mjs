// Calls the addon at random (scripts/faults/addon.mjs). Started by runLimited; notes: calls made, errors caught.
import { openSync, writeSync } from 'node:fs';
import { answer } from './answer.mjs';
import { random } from './random.mjs';

const { native } = await import(new URL('../../../packages/torch/dist/inner.js', import.meta.url).href);

const dtypes = ['float32', 'bfloat16', 'float16', 'float64', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool'];
const sides = [0, 1, 1, 2, 2, 3, 4, 5, 8, 17];
const whole = [-(2 ** 53), -(2 ** 40), -3, -2, -1, 0, 0, 1, 1, 2, 2, 3, 4, 7, 64, 2 ** 40, 2 ** 53 - 1];
const fractions = [0.5, -1, 0, 1, 1e-3, 2.5, 1e308, Number.NaN, Number.POSITIVE_INFINITY];
const odd = [
  undefined,
  null,
  true,
  'x',
  '',
  {},
  [],
  [null],
  () => 1,
  7n,
  -1n,
  2n ** 80n,
  Symbol('s'),
  1.5,
  new Uint8Array(3),
];
/** Tensors of more elements are let go: a later call would take for ever. */
const largest = 4096;

/** Entry points that take no operator; those that would wait for other processes are called with odd values alone. */
const entries = ['fromData', 'toData', 'shape', 'dtype', 'device', 'alias', 'dispose', 'liveTensors', 'newestTensor'];
const autograd = ['requiresGrad', 'setRequiresGrad', 'gradOf', 'clearGrad', 'backward', 'grad', 'setGradEnabled'];
const others = ['findOperator', 'schemaOf', 'callOperator', 'storeSet', 'storeAdd', 'storeCheck', 'storeGet'];
const waiting = ['openStore', 'openGroup', 'waitTensors', 'note', 'startProfile'];

answer(async ({ operators, calls, seed, last, end }) => {
  const draw = random(seed);
  const file = openSync(last, 'w');
  const pool = [];
  let thrown = 0;
  const known = operators.map((name) => {
    const number = native.findOperator(name);
    return { name, number, types: typesOf(native.schemaOf(number)) };
  });

  const tensor = () => {
    if (pool.length === 0 || draw.below(40) === 0) return draw.of(odd);
    return draw.of(pool);
  };
  const made = () => {
    const shape = Array.from({ length: draw.below(4) }, () => draw.of(sides));
    const dtype = draw.of(dtypes);
    const count = shape.reduce((a, b) => a * b, 1);
    const width = { float32: 4, bfloat16: 2, float16: 2, float64: 8, int64: 8, int32: 4, int16: 2 }[dtype] ?? 1;
    const bytes = new Uint8Array(count * width);
    // Small whole numbers may be indices; others are anything.
    if (draw.below(2) === 0) for (let i = 0; i < bytes.length; i++) bytes[i] = draw.below(256);
    else for (let i = 0; i < bytes.length; i += width) bytes[i] = dtype === 'bool' ? draw.below(2) : draw.below(4);
    if (dtype === 'bool') for (let i = 0; i < bytes.length; i++) bytes[i] &= 1;
    return native.fromData(bytes, dtype, shape);
  };
  const list = (one) => Array.from({ length: draw.below(4) }, one);
  const argumentOf = (type) => {
    if (draw.below(30) === 0) return draw.of(odd);
    if (type.endsWith('?')) return draw.below(2) === 0 ? undefined : argumentOf(type.slice(0, -1));
    if (/\[\d*\]$/u.test(type))
      return draw.below(8) === 0 ? draw.of(whole) : list(() => argumentOf(type.replace(/\[\d*\]$/u, '')));
    switch (type.replace(/\(.*\)/u, '')) {
      case 'Tensor':
        return tensor();
      case 'int':
      case 'SymInt':
        return draw.of(whole);
      case 'float':
      case 'Scalar':
        return draw.below(2) === 0 ? draw.of(fractions) : draw.of([-2, -1, 0, 1, 2, 3]);
      case 'bool':
        return draw.below(2) === 0;
      case 'ScalarType':
        return draw.below(4) === 0 ? draw.of(whole) : draw.of(dtypes);
      case 'Layout':
      case 'MemoryFormat':
        return draw.of([-2, -1, 0, 1, 2, 3, 4, 200]);
      case 'Device':
        return draw.of(['cpu', 'cpu:0', 'cpu:7', 'cuda', 'meta', 'x', '']);
      case 'Generator':
        return draw.of(whole);
      case 'str':
        return draw.of(['', 'mean', 'sum', 'none', 'tanh', 'floor', 'trunc', 'x'.repeat(300)]);
      default:
        return draw.of(odd);
    }
  };
  const keep = (result) => {
    for (const one of [result].flat(3)) {
      if (typeof one !== 'bigint') continue;
      let shape;
      try {
        shape = native.shape(one);
      } catch {
        continue; // a number of another kind
      }
      if (shape.reduce((a, b) => a * b, 1) > largest) native.dispose(one);
      else pool.push(one);
    }
    while (pool.length > 24) native.dispose(pool.splice(draw.below(pool.length), 1)[0]);
  };
  const entryCall = () => {
    const name = draw.of([...entries, ...entries, ...autograd, ...others, ...waiting]);
    const args = { dispose: 1, gradOf: 1, clearGrad: 1, requiresGrad: 1 }[name] ?? draw.below(5);
    if (name === 'fromData' && draw.below(2) === 0)
      return [name, [new Uint8Array(draw.below(40)), draw.of([...dtypes, 'x']), list(() => draw.of(whole))]];
    if (waiting.includes(name)) return [name, Array.from({ length: draw.below(3) }, () => draw.of(odd))];
    if (['backward', 'grad'].includes(name))
      return [name, [list(tensor), list(tensor), draw.below(2) === 0 ? null : list(tensor), draw.below(2) === 0]];
    if (name === 'setRequiresGrad') return [name, [tensor(), draw.below(2) === 0]];
    return [name, Array.from({ length: args }, () => draw.of([tensor, () => draw.of(odd), () => draw.of(whole)])())];
  };

  let done = 0;
  for (; done < calls && (done < 500 || Date.now() < end); done++) {
    if (pool.length < 6) pool.push(made());
    let call;
    if (draw.below(5) === 0) {
      call = entryCall();
    } else {
      const { name, number, types } = draw.of(known);
      call = ['callOperator', [number, ...types.map(argumentOf)], name];
    }
    const [entry, args, name = ''] = call;
    writeSync(file, `${entry} ${name} ${describe(args)}\n`.padEnd(2000).slice(0, 2000), 0);
    try {
      const result = native[entry](...args);
      if (result instanceof Promise) result.catch(() => {});
      else keep(result);
    } catch (error) {
      if (!(error instanceof Error)) throw new Error(`${entry} ${name} throws what is no Error: ${String(error)}`);
      thrown++;
    }
  }
  native.setGradEnabled(true);
  return { notes: [done, thrown] };

  /** Arguments as text, tensors by type and shape. */
  function describe(value) {
    if (Array.isArray(value)) return `[${value.map(describe).join(', ')}]`;
    if (typeof value !== 'bigint') return typeof value === 'object' ? JSON.stringify(value) : String(value);
    try {
      const device = native.device(value) === 'cpu' ? '' : `@${native.device(value)}`;
      return `${native.dtype(value)}[${native.shape(value)}]${device}`;
    } catch {
      return `${value}n`;
    }
  }
});

/** The types of an operator's arguments: `aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor`. */
function typesOf(schema) {
  const inner = /\((.*)\) -> /su.exec(schema)?.[1] ?? '';
  return inner
    .split(/, (?![^(]*\))/u)
    .filter((part) => part !== '*' && part !== '')
    .map((part) => part.split(' ')[0].replace(/\(\w+!?\)/u, ''));
}
