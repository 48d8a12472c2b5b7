import { describe, expect, test } from 'vitest';
import { arange, call, grad, linear, noGrad, randn, schema, type Tensor, tensor, zeros } from './index.js';

describe('tensors', () => {
  test('numbers go in and come out as they were, in every element type', () => {
    for (const dtype of [
      'float32',
      'float64',
      'bfloat16',
      'float16',
      'int64',
      'int32',
      'int16',
      'int8',
      'uint8',
    ] as const) {
      const made = tensor([1, 2, 3, 4, 5, 6], { shape: [2, 3], dtype });
      expect(made.dtype).toBe(dtype);
      expect(made.shape).toEqual([2, 3]);
      expect(made.toNumbers()).toEqual([1, 2, 3, 4, 5, 6]);
      expect(made.transpose(0, 1).toNumbers()).toEqual([1, 4, 2, 5, 3, 6]);
    }
    expect(tensor([1, 0, 1], { dtype: 'bool' }).toNumbers()).toEqual([1, 0, 1]);
  });

  test('integers stay integers through scalar arithmetic', () => {
    expect(arange(4).add(1).dtype).toBe('int64');
    expect(arange(4).add(1).toNumbers()).toEqual([1, 2, 3, 4]);
  });

  test('operators take arrays, optional values, element types and several results', () => {
    const [values, indices] = call('aten::topk', tensor([3, 1, 2]), 2, -1) as ReturnType<typeof tensor>[];
    expect(values!.toNumbers()).toEqual([3, 2]);
    expect(indices!.toNumbers()).toEqual([0, 2]);
    expect(call('aten::equal', arange(3), arange(3))).toBe(true);
    expect(schema('aten::relu')).toBe('aten::relu(Tensor self) -> Tensor');
  });

  test('asStrided begins where the tensor begins in its storage, unless told otherwise', () => {
    const piece = arange(10).narrow(0, 4, 6);
    expect(piece.asStrided([2, 2], [1, 2]).toNumbers()).toEqual([4, 6, 5, 7]);
    expect(piece.asStrided([2, 2], [1, 2], 0).toNumbers()).toEqual([0, 2, 1, 3]);
  });

  test('the same seed draws the same numbers', () => {
    expect(randn([5], 7).toNumbers()).toEqual(randn([5], 7).toNumbers());
    expect(randn([5], 7).toNumbers()).not.toEqual(randn([5], 8).toNumbers());
  });
});

describe('autograd', () => {
  test('gradients of a small function are the textbook ones', () => {
    const w = tensor([2, -3], { shape: [1, 2] });
    w.requiresGrad = true;
    const x = tensor([1, 4], { shape: [1, 2] });
    const loss = linear(x, w).square().sum();
    loss.backward();
    // d(w.x)^2/dw = 2 (w.x) x
    expect(w.grad!.toNumbers()).toEqual([-20, -80]);
    w.clearGrad();
    expect(w.grad).toBeUndefined();
    const [g, none] = grad([linear(x, w).sum()], [w, requiring(zeros([1]))]);
    expect(g!.toNumbers()).toEqual([1, 4]);
    expect(none).toBeUndefined();
  });

  test('noGrad records nothing and is undone by an error', () => {
    const w = requiring(tensor([1]));
    expect(noGrad(() => w.mul(2)).requiresGrad).toBe(false);
    expect(() =>
      noGrad(() => {
        throw new Error('x');
      }),
    ).toThrow('x');
    expect(w.mul(2).requiresGrad).toBe(true);
  });
});

describe('errors', () => {
  test('name the operator, the shapes and the element types', () => {
    expect(() => zeros([2, 3]).matmul(zeros([4, 5]))).toThrow(
      /aten::matmul\(float32\[2,3\], float32\[4,5\]\).*2x3 and 4x5/,
    );
  });
  test('a wrong argument is named', () => {
    expect(() => call('aten::narrow', zeros([3]), 0.5, 0, 1)).toThrow(/aten::narrow.*argument 'dim'.*integer/);
    // The first ended the process with SIGFPE.
    for (const dtype of [-2, 5, 1e6])
      expect(() => call('aten::view.dtype', zeros([3]), dtype)).toThrow(
        /argument 'dtype': an element type is given by/,
      );
    expect(() => call('aten::clone', zeros([3]), -1)).toThrow(/'memory_format': there is no memory format -1/);
    for (const layout of [3, 99])
      expect(() => call('aten::to.dtype_layout', zeros([3]), undefined, layout)).toThrow(/'layout': tensors are dense/);
    // These wrote outside their memory.
    expect(() => call('aten::new_zeros', zeros([3]), [], undefined, 3)).toThrow(/'layout': tensors are dense/);
    expect(() => call('aten::_chunk_cat', [zeros([])], 0, 2)).toThrow(/_chunk_cat.*dimension 'dim'/);
    const adamw = (gradient: Tensor, steps: Tensor) =>
      call(
        'aten::_fused_adamw_',
        [zeros([4])],
        [gradient],
        [zeros([4])],
        [zeros([4])],
        [],
        [steps],
        0.1,
        0.9,
        0.9,
        0,
        1e-8,
        false,
        false,
      );
    adamw(zeros([4]), zeros([]));
    expect(() => adamw(zeros([3]), zeros([]))).toThrow(/_fused_adamw_.*each tensor of 'grads'/);
    expect(() => adamw(zeros([8]).narrow(0, 0, 4), zeros([2]))).toThrow(/'state_steps' is one float32 number/);
    expect(() => call('aten::relu', 5)).toThrow(/argument 'self': expected a tensor/);
    expect(() => call('aten::add.Scalar', zeros([1]), zeros([1]))).toThrow(/argument 'other': expected a number/);
    expect(() => call('aten::relu')).toThrow(/argument 'self': is missing/);
    expect(() => call('aten::relu', zeros([1]), 1, 2)).toThrow(/at most 1 arguments, got 3/);
    expect(() => call('aten::nothing')).toThrow('libtorch has no operator aten::nothing');
    expect(() => zeros([1]).to('float31' as 'float32')).toThrow(/unknown element type 'float31'/);
  });
  test('a disposed tensor, a foreign handle and a huge shape throw instead of crashing', () => {
    const gone = zeros([2]);
    gone.dispose();
    gone.dispose();
    expect(() => gone.relu()).toThrow(/disposed/);
    expect(() => gone.shape).toThrow(/disposed/);
    expect(() => zeros([2 ** 40, 2 ** 30])).toThrow(/aten::zeros/);
    expect(() => zeros([2 ** 46])).toThrow(/memory/);
    expect(() => zeros([-1])).toThrow(/aten::zeros/);
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow(/12 bytes, the shape needs 16/);
    expect(() => tensor([1.5], { dtype: 'int64' })).toThrow();
  });
});

function requiring(t: ReturnType<typeof tensor>) {
  t.requiresGrad = true;
  return t;
}
